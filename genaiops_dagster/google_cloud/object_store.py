"""Objects of one bucket, written once under their content's digest or by compare-and-set."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from google.cloud import storage

    from genaiops_dagster.google_cloud.settings import GoogleCloudSettings


_CHUNK_BYTES = 16 << 20
"""Most of a large object that is held in memory; the client's own default is 100 MiB."""

_LISTED_FIELDS = "items(name,generation,size,updated),nextPageToken"


class ObjectChangedError(RuntimeError):
    """Somebody else changed the object in between; nothing was written."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object in a listing; `generation` changes with every overwrite."""

    uri: str
    name: str
    generation: int
    size: int
    updated: float


class ObjectStore:
    """The bucket in which this project keeps data, reports and pointers.

    Args:
        client: Cloud Storage client.
        bucket: Bucket name.
    """

    def __init__(self, client: storage.Client, bucket: str) -> None:
        self._client = client
        self.bucket = bucket

    @classmethod
    def connect(cls, settings: GoogleCloudSettings) -> ObjectStore:
        """The bucket of data, reports and pointers, with a client of its own."""
        from google.cloud import storage

        return cls(storage.Client(settings.project), settings.bucket)

    def uri(self, name: str) -> str:
        """`gs://` address of the object called `name`."""
        return f"gs://{self.bucket}/{name}"

    def write_once(
        self, name: str, data: bytes | BinaryIO, content_type: str = "application/json"
    ) -> bool:
        """Write an object unless it exists; whether it was written now.

        For names that contain a digest of the content, so that an existing object is the same.
        """
        from google.api_core.exceptions import PreconditionFailed

        try:
            self._upload(name, data, content_type, if_generation_match=0)
        except PreconditionFailed:
            return False
        return True

    def write(
        self, name: str, data: bytes | BinaryIO, content_type: str = "application/json"
    ) -> None:
        """Create or overwrite an object; the last writer wins."""
        self._upload(name, data, content_type)

    def compare_and_set(self, name: str, data: bytes, generation: int) -> int:
        """Overwrite an object that is still at `generation` (0: does not exist); its new one.

        Raises:
            ObjectChangedError: the object is at another generation.
        """
        from google.api_core.exceptions import PreconditionFailed

        try:
            return self._upload(name, data, "application/json", if_generation_match=generation)
        except PreconditionFailed as error:
            raise ObjectChangedError(
                f"{self.uri(name)} is no longer at generation {generation}; read it and try again"
            ) from error

    def _upload(
        self, name: str, data: bytes | BinaryIO, content_type: str, **precondition: int
    ) -> int:
        blob = self._client.bucket(self.bucket).blob(name, chunk_size=_CHUNK_BYTES)
        if isinstance(data, bytes):
            blob.upload_from_string(data, content_type=content_type, **precondition)
        else:
            blob.upload_from_file(data, rewind=True, content_type=content_type, **precondition)
        return int(blob.generation)

    def delete(self, name: str) -> bool:
        """Remove an object; whether it was there."""
        from google.api_core.exceptions import NotFound

        try:
            self._client.bucket(self.bucket).blob(name).delete()
        except NotFound:
            return False
        return True

    def exists(self, name: str) -> bool:
        """Whether the object is there."""
        return bool(self._client.bucket(self.bucket).blob(name).exists())

    def read(self, name: str) -> bytes | None:
        """The object's content, or None when there is no such object."""
        found = self.read_with_generation(name)
        return found[0] if found else None

    def read_with_generation(self, name: str) -> tuple[bytes, int] | None:
        """Content and the generation it belongs to, or None when there is no such object."""
        from google.api_core.exceptions import NotFound

        blob = self._client.bucket(self.bucket).blob(name)
        try:
            content = blob.download_as_bytes()
        except NotFound:
            return None
        return content, int(blob.generation)

    def read_json(self, name: str) -> Any | None:
        """The object's JSON value, or None when there is no such object."""
        content = self.read(name)
        return None if content is None else json.loads(content)

    def open(self, name: str, generation: int | None = None) -> BinaryIO:
        """A stream over the object's content, fetched in chunks; of one generation if given."""
        blob = self._client.bucket(self.bucket).blob(name, generation=generation)
        stream: BinaryIO = blob.open("rb", chunk_size=_CHUNK_BYTES)
        return stream

    def list(self, prefix: str, start: str | None = None) -> Iterator[StoredObject]:
        """Objects whose names start with `prefix`, in order of name, from the name `start` on.

        Only what is used is asked for, and no `Blob` is made of it: with many objects that takes
        most of the time.
        """
        found = self._client.list_blobs(
            self.bucket, prefix=prefix, start_offset=start, fields=_LISTED_FIELDS
        )
        for page in found.pages:
            for item in page.raw_page.get("items", ()):
                yield StoredObject(
                    uri=self.uri(item["name"]),
                    name=item["name"],
                    generation=int(item["generation"]),
                    size=int(item["size"]),
                    updated=datetime.fromisoformat(item["updated"]).timestamp(),
                )

    def name_of(self, uri: str) -> str:
        """Object name of a `gs://` address in this bucket.

        Raises:
            ValueError: the address is of another bucket.
        """
        prefix = f"gs://{self.bucket}/"
        if not uri.startswith(prefix):
            raise ValueError(f"{uri} is not in bucket {self.bucket}")
        return uri.removeprefix(prefix)
