"""What version 0.1.0 stored, as files: the bucket and the tables, and a folder `.genaiops`.

    python -m tests.surface.frozen FOLDER

makes such files of the present version; those that are committed are never made again, because
they stand for what is in users' buckets.
"""

from __future__ import annotations

import json
import sys
import tarfile
import tempfile
from pathlib import Path

import duckdb
from google.cloud import bigquery, storage

from tests.surface.story import Story

FIXTURES = Path(__file__).parents[1] / "fixtures"
BUCKET = FIXTURES / "bucket_0_1_0"
HOME = FIXTURES / "folder_0_1_0.tar.xz"

_PUBLIC = "bigquery-public-data"
_LEFT_OUT = {
    *("environment", "credentials.json", "server.log", "lock", "compute_logs"),
    *("emulator.env", "emulator.log"),
}
"""Of a folder: what every emulator makes again, and logs."""
_KEPT = ("tableReference", "schema", "view", "timePartitioning", "clustering", "description")


def freeze(folder: Path) -> None:
    """Tell the story, and write what it leaves to `folder`."""
    with tempfile.TemporaryDirectory() as temporary:
        story = Story(Path(temporary))
        with story.emulator():
            story.begin()
        _pack(story.home, folder / HOME.name)
        with story.emulator() as bucket:
            story.go_on()
            _save(bucket, folder / BUCKET.name)


def unpack(target: Path) -> Path:
    """The folder `.genaiops` of version 0.1.0, below `target`."""
    with tarfile.open(HOME) as archive:
        archive.extractall(target, filter="data")
    return target / ".genaiops"


def load(bucket: str) -> None:
    """Put what version 0.1.0 stored into an empty bucket, and into an empty project's tables."""
    store = storage.Client().bucket(bucket)
    types = json.loads((BUCKET / "types.json").read_text())
    for name, content_type in types.items():
        content = (BUCKET / "objects" / name).read_bytes()
        store.blob(name).upload_from_string(content, content_type=content_type)
    client = bigquery.Client()
    resources = [json.loads(path.read_text()) for path in (BUCKET / "tables").glob("*.json")]
    for resource in sorted(resources, key=lambda one: "view" in one):  # views need their tables
        table = bigquery.Table.from_api_repr(resource)
        client.create_dataset(table.dataset_id, exists_ok=True)
        client.create_table(table)
        rows = BUCKET / "tables" / f"{table.dataset_id}.{table.table_id}.jsonl"
        if rows.exists():
            parsed = [json.loads(line) for line in rows.read_text().splitlines()]
            config = bigquery.LoadJobConfig(schema=table.schema)
            client.load_table_from_json(parsed, table.reference, job_config=config).result()


def _save(bucket: str, target: Path) -> None:
    types = {}
    for blob in storage.Client().list_blobs(bucket):
        types[blob.name] = blob.content_type
        path = target / "objects" / blob.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(blob.download_as_bytes())
    (target / "types.json").write_text(json.dumps(types, indent=1, sort_keys=True) + "\n")
    client, tables = bigquery.Client(), target / "tables"
    tables.mkdir()
    for dataset in client.list_datasets():
        for item in client.list_tables(dataset.dataset_id):
            table = client.get_table(item)
            path = tables / f"{dataset.dataset_id}.{table.table_id}"
            resource = {k: v for k, v in table.to_api_repr().items() if k in _KEPT}
            Path(f"{path}.json").write_text(json.dumps(resource, indent=1, sort_keys=True) + "\n")
            if table.table_type == "TABLE":
                rows = [json.dumps(dict(row), default=str) for row in client.list_rows(table)]
                Path(f"{path}.jsonl").write_text("".join(f"{row}\n" for row in sorted(rows)))


def _pack(home: Path, archive: Path) -> None:
    """Pack a folder whose emulator has stopped, without what comes from this machine."""
    _drop_public_data(home / "emulator" / "bigquery" / "bigquery.duckdb")

    def kept(item: tarfile.TarInfo) -> tarfile.TarInfo | None:
        item.uid = item.gid = 0
        item.uname = item.gname = ""
        return None if Path(item.name).name in _LEFT_OUT else item

    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:xz", preset=9) as packed:
        packed.add(home, ".genaiops", filter=kept)


def _drop_public_data(database: Path) -> None:
    """Take out what comes from the interpreter's library, and the space that it took."""
    smaller = database.with_suffix(".smaller")
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{database}' AS whole; ATTACH '{smaller}' AS kept")
        public = connection.execute(
            "SELECT number FROM whole.catalog.tables WHERE project = ?", [_PUBLIC]
        ).fetchall()
        for (number,) in public:
            connection.execute(f"DROP TABLE whole.data.t{number}")
        for catalog in ("tables", "datasets"):
            connection.execute(f"DELETE FROM whole.catalog.{catalog} WHERE project = ?", [_PUBLIC])
        connection.execute("COPY FROM DATABASE whole TO kept")
        connection.execute("DETACH kept; DETACH whole")
    smaller.replace(database)


if __name__ == "__main__":
    freeze(Path(sys.argv[1]) if len(sys.argv) > 1 else FIXTURES)
