"""What a run leaves behind, and what all that can follow it does."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from tests.surface import listing
from tests.surface.conftest import Compare
from tests.surface.story import Story


def test_what_a_run_leaves_behind(story: Story, compare: Compare) -> None:
    story.begin()
    compare("run", picture(story))


@pytest.mark.slow
def test_what_follows_a_run_leaves_behind(story: Story, compare: Compare) -> None:
    if not story.home.joinpath("dagster").exists():  # run alone
        story.begin()
    story.go_on()
    compare("after_a_run", picture(story))


def picture(story: Story) -> dict[str, Any]:
    settings = GoogleCloudSettings.from_environment()
    with dg.DagsterInstance.get() as instance:
        history = listing.history(instance)
    return {
        "objects": listing.objects(settings.bucket),
        "tables": listing.tables(),
        "vertex_ai": listing.vertex_resources(settings),
        "folder": listing.folder(story.home),
        "dagster": history,
    }
