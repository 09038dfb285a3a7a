"""What can be known of `deploy/` without a cluster and without Google Cloud."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from genaiops_dagster.google_cloud.settings import (
    BIGQUERY_LOCATION,
    BUCKET,
    DATASET,
    LOCATION,
    PROJECT,
)
from tests.deploy.set_up import DEPLOY, ROOT, set_up
from tests.values import present

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
    "roles/artifactregistry.reader",
    "roles/storage.legacyBucketReader",
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
    assert settings.bucket == "@BUCKET@"
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


PLACE = ("my-project", "my-bucket", "europe-west4", "EU")


def test_the_script_creates_what_is_missing_in_the_named_project(tmp_path: Path) -> None:
    asked = "\n".join(set_up(tmp_path / "bin", *PLACE, exists=False).asked)
    for command in (
        "storage buckets create gs://my-bucket --project my-project --location europe-west4",
        "--location EU mk --dataset my-project:genaiops",
        "iam service-accounts create genaiops --project my-project",
        "artifacts repositories create genaiops --project my-project --location europe-west4",
        "beta services identity create --project my-project --service aiplatform.googleapis.com",
        "cloudresourcemanager.googleapis.com",
    ):
        assert command in asked


def test_a_second_run_creates_nothing(tmp_path: Path) -> None:
    asked = set_up(tmp_path / "bin", *PLACE, exists=True).asked
    made = [line for line in asked if " create " in line or " mk " in line]
    assert made == [
        "gcloud beta services identity create --project my-project "
        "--service aiplatform.googleapis.com"
    ], "which says so when it is there"


def test_each_role_is_on_the_smallest_resource(tmp_path: Path) -> None:
    account = "serviceAccount:genaiops@my-project.iam.gserviceaccount.com"
    itself = "serviceAccount:genaiops@my-project.iam.gserviceaccount.com"
    found = set_up(tmp_path / "bin", *PLACE, exists=False).bindings()
    assert [(one["resource"], one["role"]) for one in found if one["member"] == account] == [
        ("bucket:my-bucket", "roles/storage.objectUser"),
        ("bucket:my-bucket", "roles/storage.legacyBucketReader"),
        ("dataset:genaiops", "roles/bigquery.dataEditor"),
        ("project", "roles/bigquery.jobUser"),
        ("project", "roles/aiplatform.user"),
        (itself, "roles/iam.serviceAccountUser"),
    ]
    others = {one["member"]: (one["resource"], one["role"]) for one in found} | {}
    assert others["serviceAccount:my-project.svc.id.goog[dagster/genaiops]"] == (
        itself,
        "roles/iam.workloadIdentityUser",
    )
    assert others["serviceAccount:123-compute@developer.gserviceaccount.com"] == (
        "repository:genaiops",
        "roles/artifactregistry.reader",
    )


@pytest.mark.parametrize("file", ["values.yaml", "values-identity.yaml"])
def test_the_values_are_filled_in_by_the_command_that_is_printed(tmp_path: Path, file: str) -> None:
    printed = set_up(tmp_path / "bin", *PLACE, exists=False).printed
    command = present(re.search(r"^sed .*?(?= > values)", printed, re.DOTALL | re.MULTILINE))[0]
    assert command.endswith("deploy/values.yaml")
    filled = subprocess.run(
        ["bash", "-c", command.replace("deploy/values.yaml", f"deploy/{file}")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    values = yaml.safe_load(filled)
    assert not re.search(r"@[A-Z_]+@", filled)
    names = re.findall(r"- name: (\w+)", (DEPLOY / file).read_text())
    assert re.findall(r"- name: (\w+)", filled) == names
    images = re.findall(r'repository: "?([^"\s]+)"?\n\s+tag: "?([^"\s]+)"?', filled)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    repository = "europe-west4-docker.pkg.dev/my-project/genaiops/genaiops-dagster"
    assert set(images) == {(repository, version)}
    assert f"{repository}:{version}" in printed, "the tag that is built is the one that is pulled"
    if file == "values.yaml":
        [deployment] = values["dagster-user-deployments"]["deployments"]
        environment = {one["name"]: one["value"] for one in deployment["env"]}
        assert environment == {
            PROJECT: "my-project",
            LOCATION: "europe-west4",
            BUCKET: "my-bucket",
            DATASET: "genaiops",
            BIGQUERY_LOCATION: "EU",
        }
        logs = values["computeLogManager"]["config"]["gcsComputeLogManager"]
        assert logs["bucket"] == "my-bucket"
        account = values["serviceAccount"]["annotations"]["iam.gke.io/gcp-service-account"]
        assert account == "genaiops@my-project.iam.gserviceaccount.com"
