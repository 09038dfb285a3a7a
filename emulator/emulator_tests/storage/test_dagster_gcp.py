"""What dagster_gcp does with Cloud Storage: resource, file manager, pickle IO manager, sensor."""

import io
from typing import Any

import pytest
from google.cloud import storage

dg = pytest.importorskip("dagster")
gcs = pytest.importorskip("dagster_gcp.gcs")
get_gcs_keys = pytest.importorskip("dagster_gcp.gcs.sensor").get_gcs_keys


def test_resource_gives_a_working_client(bucket: storage.Bucket) -> None:
    client = gcs.GCSResource(project="emulated-project").get_client()
    client.bucket(bucket.name).blob("a").upload_from_string("text")
    assert bucket.blob("a").download_as_text() == "text"


def test_pickle_io_manager(bucket: storage.Bucket) -> None:
    manager = gcs.GCSPickleIOManager(
        gcs=gcs.GCSResource(), gcs_bucket=bucket.name, gcs_prefix="runs"
    )

    @dg.asset
    def numbers() -> Any:
        return [1, 2, 3]

    @dg.asset
    def total(numbers: Any) -> Any:
        return sum(numbers)

    result = dg.materialize([numbers, total], resources={"io_manager": manager})
    assert result.success
    assert result.output_for_node("total") == 6
    assert [b.name for b in bucket.list_blobs()] == ["runs/numbers", "runs/total"]
    again = dg.materialize([numbers, total], resources={"io_manager": manager})
    assert again.success


def test_partitioned_assets(bucket: storage.Bucket) -> None:
    manager = gcs.GCSPickleIOManager(gcs=gcs.GCSResource(), gcs_bucket=bucket.name)
    partitions = dg.StaticPartitionsDefinition(["a", "b"])

    @dg.asset(partitions_def=partitions)
    def part(context: dg.AssetExecutionContext) -> Any:  # type: ignore[name-defined]
        return context.partition_key

    @dg.asset
    def joined(part: Any) -> Any:
        return "".join(part[key] for key in sorted(part))

    for key in ("a", "b"):
        dg.materialize([part], resources={"io_manager": manager}, partition_key=key)
    result = dg.materialize([part, joined], selection=[joined], resources={"io_manager": manager})
    assert result.output_for_node("joined") == "ab"


def test_file_manager(bucket: storage.Bucket) -> None:
    with dg.build_resources(
        {"files": gcs.GCSFileManagerResource(gcs_bucket=bucket.name, gcs_prefix="files")}
    ) as resources:
        files = resources.files
        handle = files.write_data(b"bytes")
        assert handle.gcs_path.startswith(f"gs://{bucket.name}/files/")
        assert files.read_data(handle) == b"bytes"
        handle = files.write(io.BytesIO(b"stream"), mode="wb")
        with files.read(handle, mode="rb") as file:
            assert file.read() == b"stream"


def test_keys_of_the_sensor(bucket: storage.Bucket) -> None:
    for name in ("a", "b", "c"):
        bucket.blob(f"in/{name}").upload_from_string(name)
    assert get_gcs_keys(bucket.name, prefix="in/") == ["in/a", "in/b", "in/c"]
    assert get_gcs_keys(bucket.name, prefix="in/", since_key="in/b") == ["in/c"]
