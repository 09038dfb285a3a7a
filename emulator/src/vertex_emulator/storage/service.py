"""Cloud Storage: what the other services call, and the routes of its HTTP API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

from starlette.routing import BaseRoute

from vertex_emulator.config import EmulatorConfig
from vertex_emulator.errors import ApiError
from vertex_emulator.stats import Stats
from vertex_emulator.storage.buckets import BucketStore
from vertex_emulator.storage.contents import ContentStore
from vertex_emulator.storage.context import StorageContext
from vertex_emulator.storage.database import Database
from vertex_emulator.storage.http import routes
from vertex_emulator.storage.listing import live_names
from vertex_emulator.storage.objects import ObjectStore, check_object_name
from vertex_emulator.storage.sessions import SessionStore
from vertex_emulator.storage.xml_api import ObjectRoute


class StorageService:
    """Buckets and objects on the state folder; every method may be called from any thread."""

    def __init__(self, config: EmulatorConfig, stats: Stats) -> None:
        folder = config.state / "storage"
        folder.mkdir(parents=True, exist_ok=True)
        self.database = Database(folder / "metadata.sqlite")
        self.contents = ContentStore(folder / "contents")
        self.buckets = BucketStore(self.database)
        self.objects = ObjectStore(self.database, self.contents, self.buckets)
        sessions = SessionStore(self.database, self.contents)
        sessions.expire()
        self.contents.sweep(self.objects.contents_in_use() | sessions.contents_in_use())
        self._context = StorageContext(
            config, stats, self.database, self.contents, self.buckets, self.objects, sessions
        )

    def ensure_bucket(self, name: str) -> None:
        """Make the bucket `name` in the emulator's project unless it exists.

        Raises:
            ApiError: 400 if the name is not one of a bucket.
        """
        if not self.buckets.exists(name):
            self.buckets.create(name, self._context.config.project, {})

    def read(self, uri: str) -> bytes:
        """The bytes of the object at `gs://bucket/name`.

        Raises:
            ApiError: 404 if there is none; 400 if `uri` is not of that form.
        """
        with self.open(uri) as file:
            return file.read()

    def open(self, uri: str) -> BinaryIO:
        """Open the object at `gs://bucket/name` for reading.

        Raises:
            ApiError: 404 if there is none; 400 if `uri` is not of that form.
        """
        return self.objects.open(*split_uri(uri))[1]

    def size(self, uri: str) -> int:
        """Length in bytes of the object at `gs://bucket/name`.

        Raises:
            ApiError: 404 if there is none; 400 if `uri` is not of that form.
        """
        return self.objects.get(*split_uri(uri)).size

    def write(self, uri: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        """Write an object in one step.

        Raises:
            ApiError: 404 for no such bucket; 400 if `uri` is not of the form `gs://bucket/name`.
        """
        self.write_stream(uri, [data], content_type)

    def write_stream(
        self,
        uri: str,
        chunks: Iterable[bytes],
        content_type: str = "application/octet-stream",
    ) -> None:
        """Write an object from chunks; it becomes visible when the last one is written.

        Raises:
            ApiError: 404 for no such bucket; 400 if `uri` is not of the form `gs://bucket/name`.
        """
        bucket, name = split_uri(uri)
        check_object_name(name)
        self.buckets.get(bucket)
        writer = self.contents.writer()
        try:
            for chunk in chunks:
                if writer.write(chunk):
                    writer.flush()
            content = writer.finish()
        except BaseException:
            writer.abandon()
            raise
        self.objects.put(bucket, name, content, {"contentType": content_type})

    def list_uris(self, prefix_uri: str) -> list[str]:
        """The live objects whose address starts with `gs://bucket/prefix`, sorted.

        Raises:
            ApiError: 404 for no such bucket; 400 if `prefix_uri` is not of that form.
        """
        bucket, prefix = split_uri(prefix_uri)
        self.buckets.get(bucket)
        names = live_names(self.database, bucket, prefix)
        return [f"gs://{bucket}/{name}" for name in names]

    def routes(self) -> list[BaseRoute]:
        """The routes of the JSON API."""
        return routes(self._context)

    def xml_routes(self) -> list[BaseRoute]:
        """The routes of objects at `/BUCKET/OBJECT`; they belong after those of other services."""
        return [ObjectRoute(self._context)]

    def close(self) -> None:
        """Close the database."""
        self.database.close()


def split_uri(uri: str) -> tuple[str, str]:
    """The bucket and the object name (or prefix) of `gs://bucket/name`.

    Raises:
        ApiError: 400 if `uri` is not of that form.
    """
    scheme, _, rest = uri.partition("://")
    bucket, _, name = rest.partition("/")
    if scheme != "gs" or not bucket:
        raise ApiError(400, f"{uri[:200]!r} is not a Cloud Storage address: gs://bucket/name.")
    return bucket, name
