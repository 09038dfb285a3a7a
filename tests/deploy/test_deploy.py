"""What can be known of `deploy/` without a cluster and without Google Cloud."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from tests.values import present

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
VALUES = yaml.safe_load((DEPLOY / "values.yaml").read_text())
IDENTITY = yaml.safe_load((DEPLOY / "values-identity.yaml").read_text())
GUIDE = (ROOT / "docs" / "how-to" / "production.md").read_text()

CHART_KEYS = {
    # Of the chart's schema, helm/dagster/schema/schema/charts/dagster/values.py in its repository.
    *("additionalInstanceConfig", "busybox", "computeLogManager", "concurrency"),
    *("dagster-user-deployments", "dagsterDaemon", "dagsterWebserver", "flower"),
    *("generateCeleryConfigSecret", "generatePostgresqlPasswordSecret", "global"),
    *("imagePullSecrets", "ingress", "migrate", "postgresql", "pythonLogs", "rabbitmq"),
    *("redis", "retention", "runLauncher", "scheduler", "serviceAccount", "telemetry"),
}
ROLES = {
    "roles/storage.objectUser",
    "roles/bigquery.dataEditor",
    "roles/bigquery.jobUser",
    "roles/aiplatform.user",
    "roles/iam.serviceAccountUser",
    "roles/iam.workloadIdentityUser",
}


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: f"_{match[1].lower()}", name)


def test_values_name_only_keys_of_the_chart() -> None:
    assert VALUES.keys() <= CHART_KEYS
    assert IDENTITY.keys() <= CHART_KEYS


def test_the_run_launcher_takes_its_values() -> None:
    from dagster_k8s import K8sRunLauncher

    launcher = VALUES["runLauncher"]
    assert launcher["type"] == "K8sRunLauncher"
    known = set(K8sRunLauncher.config_type())  # type: ignore[no-untyped-call]
    given = {snake(key) for key in launcher["config"]["k8sRunLauncher"]}
    assert given <= known, given - known


def test_the_run_coordinator_the_monitoring_and_the_pools_are_dagsters(tmp_path: Path) -> None:
    from dagster_k8s import K8sRunLauncher

    assert VALUES["dagsterDaemon"]["runCoordinator"] == {"enabled": False}
    monitoring = dict(VALUES["dagsterDaemon"]["runMonitoring"])
    # Only a launcher that can resume runs takes this, and it is not to be made without a cluster.
    assert monitoring.pop("maxResumeRunAttempts") == 2
    assert K8sRunLauncher.supports_resume_run.fget(None)  # type: ignore[attr-defined]
    concurrency = dict(VALUES["concurrency"])
    assert concurrency.pop("enabled")
    config = {
        "concurrency": {
            section: {snake(key): value for key, value in limits.items()}
            for section, limits in concurrency.items()
        },
        "run_monitoring": {snake(key): value for key, value in monitoring.items()},
        "telemetry": {"enabled": False},
    }
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(config))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.global_op_concurrency_default_limit == 4
        assert type(instance.run_coordinator).__name__ == "QueuedRunCoordinator"
        runs = instance.get_concurrency_config().run_queue_config
        assert runs is not None
        assert runs.max_concurrent_runs == 4


def test_behind_a_proxy_dagster_reads_who_is_signed_in(tmp_path: Path) -> None:
    from genaiops_dagster.orchestration.run_coordinator import UserRunCoordinator

    coordinator = IDENTITY["dagsterDaemon"]["runCoordinator"]
    assert (coordinator["enabled"], coordinator["type"]) == (True, "CustomRunCoordinator")
    limits = {"runs": {"max_concurrent_runs": VALUES["concurrency"]["runs"]["maxConcurrentRuns"]}}
    config = {
        "run_coordinator": coordinator["config"]["customRunCoordinator"],  # as the chart does
        "concurrency": limits,
        "telemetry": {"enabled": False},
    }
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(config))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert isinstance(instance.run_coordinator, UserRunCoordinator)
        assert instance.run_coordinator.user_header == "X-Goog-Authenticated-User-Email"
        assert present(instance.get_concurrency_config().run_queue_config).max_concurrent_runs == 4
    (deployment,) = VALUES["dagster-user-deployments"]["deployments"]
    for part in ("dagsterDaemon", "dagsterWebserver"):
        assert IDENTITY[part]["image"] == deployment["image"], "where the coordinator's class is"


def test_the_deployment_has_what_the_settings_need() -> None:
    from genaiops_dagster.google_cloud.settings import GoogleCloudSettings

    (deployment,) = VALUES["dagster-user-deployments"]["deployments"]
    variables = {item["name"]: item["value"] for item in deployment["env"]}
    settings = GoogleCloudSettings.from_environment(variables)
    assert settings.bucket == "BUCKET"
    assert VALUES["global"]["serviceAccountName"] == VALUES["serviceAccount"]["name"]
    assert deployment["includeConfigInLaunchedRuns"]["enabled"]
    module = deployment["dagsterApiGrpcArgs"][1]
    __import__(module)


def test_definitions_load_and_plan_under_the_kubernetes_executor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from genaiops_dagster.orchestration.assembly import build_definitions
    from genaiops_dagster.use_case import load_use_cases

    monkeypatch.setenv("GENAIOPS_EXECUTOR", "kubernetes")
    definitions = build_definitions(load_use_cases().values())
    dg.Definitions.validate_loadable(definitions)
    job = definitions.resolve_job_def("python_modules_lifecycle")
    assert job.executor_def.name == "k8s"
    (deployment,) = VALUES["dagster-user-deployments"]["deployments"]
    for variable in deployment["env"]:
        monkeypatch.setenv(variable["name"], variable["value"])
    place = {"job_namespace": "dagster", "job_image": "genaiops:1"}
    assert dg.validate_run_config(job, {"execution": {"config": place}})


def test_an_executor_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from genaiops_dagster.orchestration.executors import build_executor

    monkeypatch.setenv("GENAIOPS_EXECUTOR", "kubernets")
    with pytest.raises(ValueError, match="GENAIOPS_EXECUTOR=kubernets: choose processes or kub"):
        build_executor()
    monkeypatch.delenv("GENAIOPS_EXECUTOR")
    assert build_executor().name == "multiprocess"


def test_the_image_runs_in_the_definitions_module_and_copies_what_exists() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE):
        *sources, _ = line.split()
        for source in sources:
            assert (ROOT / source).exists(), source
    extras = re.search(r'"\.\[(.*?)\]"', text)
    assert extras is not None
    import tomllib

    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras[1].split(",")) <= set(known["optional-dependencies"])


@pytest.mark.parametrize(
    "script",
    [DEPLOY / "setup.sh", ROOT / ".ci" / "run", ROOT / ".ci" / "alone"],
    ids=lambda script: script.name,
)
def test_the_scripts_are_clean(script: Any) -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    checked = subprocess.run(
        [str(shellcheck), "--severity=style", str(script)], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout


def test_the_script_says_how_it_is_used() -> None:
    script = DEPLOY / "setup.sh"
    used = subprocess.run(["bash", str(script)], capture_output=True, text=True)
    assert used.returncode == 2
    assert "deploy/setup.sh PROJECT BUCKET" in used.stderr


def test_the_account_gets_the_roles_of_the_guide_and_no_others() -> None:
    script = (DEPLOY / "setup.sh").read_text()
    assert set(re.findall(r"roles/[\w.]+", script)) == ROLES
    assert set(re.findall(r"roles/[\w.]+", GUIDE)) >= ROLES
    assert "--condition None" in script
    assert not re.search(r"keys create", script)


@pytest.fixture
def bin_with_fakes(tmp_path: Path) -> Any:
    """`gcloud` and `bq` that write down what they are asked, and find nothing that exists."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("gcloud", "bq"):
        path = folder / name
        path.write_text(
            "#!/bin/sh\n"
            f'echo "{name} $*" >> "{tmp_path}/asked"\n'
            'case "$*" in *describe*|*show*) exit 1;; esac\n'
        )
        path.chmod(0o755)
    return folder


def test_the_script_creates_what_is_missing_in_the_named_project(
    bin_with_fakes: Any, tmp_path: Path
) -> None:
    done = subprocess.run(
        ["bash", str(DEPLOY / "setup.sh"), "my-project", "my-bucket", "europe-west4", "EU"],
        env={"PATH": f"{bin_with_fakes}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    asked = (tmp_path / "asked").read_text()
    assert "storage buckets create gs://my-bucket --project my-project --location europe-west4" in (
        asked
    )
    assert "--location EU mk --dataset my-project:genaiops" in asked
    assert "iam service-accounts create genaiops --project my-project" in asked
    assert "my-project.svc.id.goog[dagster/genaiops]" in asked
    assert "s/BUCKET/my-bucket/" in done.stdout
