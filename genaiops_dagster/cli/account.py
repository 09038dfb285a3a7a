"""The account that a command runs as, shown next to the name that it was given."""

from __future__ import annotations

import os
import platform
import pwd

from genaiops_dagster.google_cloud.settings import GoogleCloudSettings


def account(settings: GoogleCloudSettings) -> str:
    """Who is logged in, such as `operating system: ann@laptop`, shown next to a given name.

    On Google Cloud it is the account of the application-default credentials, if they name one:
    `Google Cloud: deployer@my-project.iam.gserviceaccount.com`. Nothing is asked over the network.
    """
    cloud = "" if settings.vertex_url else _cloud_account()
    return f"Google Cloud: {cloud}" if cloud else f"operating system: {_system_account()}"


def _cloud_account() -> str:
    """Account of the application-default credentials; empty if they do not say."""
    import google.auth

    credentials, _ = google.auth.default()
    for attribute in ("service_account_email", "account"):
        found = getattr(credentials, attribute, None)
        if found and found != "default":  # what a metadata server's are before they are used
            return str(found)
    return ""


def _system_account() -> str:
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:  # as in containers
        name = f"user {number}"
    return f"{name}@{platform.node()}"
