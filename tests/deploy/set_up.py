"""`deploy/setup.sh`, run against programs that write down what they are asked."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KINDS = {
    "projects": "project",
    "buckets": "bucket",
    "service-accounts": "serviceAccount",
    "repositories": "repository",
}


@dataclass(frozen=True)
class SetUp:
    """A run of `setup.sh` against programs that write down what they are asked.

    Attributes:
        asked: Their command lines, in order.
        printed: What the script printed.
    """

    asked: list[str]
    printed: str

    def bindings(self) -> list[dict[str, Any]]:
        """Who got which role on what."""
        found = []
        for line in self.asked:
            granted = re.search(r"GRANT `(\S+)` ON SCHEMA `\S+`\.(\w+) TO '(\S+)'", line)
            if granted:
                role, dataset, member = granted.groups()
                found.append({"resource": f"dataset:{dataset}", "role": role, "member": member})
            if "add-iam-policy-binding" not in line:
                continue
            words = line.split()
            at = words.index("add-iam-policy-binding")
            name = words[at + 1].removeprefix("gs://")
            kind = KINDS[words[at - 1]]
            found.append(
                {
                    "resource": kind if kind == "project" else f"{kind}:{name}",
                    "role": words[words.index("--role") + 1],
                    "member": words[words.index("--member") + 1],
                }
            )
        return found


def set_up(folder: Path, *arguments: str, exists: bool) -> SetUp:
    """Run the script; `exists` says whether what it looks for is there already."""
    folder.mkdir()
    for name in ("gcloud", "bq"):
        path = folder / name
        path.write_text(
            "#!/bin/sh\n"
            f'echo "{name} $*" >> "{folder}/asked"\n'
            'case "$*" in *"projects describe"*) echo 123;; '
            f"*describe*|*show*) exit {0 if exists else 1};; esac\n"
        )
        path.chmod(0o755)
    done = subprocess.run(
        ["bash", str(DEPLOY / "setup.sh"), *arguments],
        env={"PATH": f"{folder}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return SetUp((folder / "asked").read_text().splitlines(), done.stdout)
