"""Load jobs that bring their data along: multipart and resumable uploads.

https://cloud.google.com/bigquery/docs/reference/api-uploads
"""

from __future__ import annotations

import email.parser
import email.policy
import re
import shutil
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vertex_emulator.bigquery.http import Call, Endpoints, parse_object
from vertex_emulator.bigquery.jobs import Job, Jobs
from vertex_emulator.errors import ApiError

_PATH = "/upload/bigquery/v2/projects/{project}/jobs"
_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
_WAIT_SECONDS = 1.0


@dataclass
class _Upload:
    """A resumable upload that has begun."""

    project: str
    body: dict[str, Any]
    path: Path
    received: int = 0
    job: Job | None = None


class Uploads:
    """Files being uploaded; those that a killed process left behind are removed.

    Args:
        folder: Where they are kept until their job is done.
        jobs: Where the load jobs go.
    """

    def __init__(self, folder: Path, jobs: Jobs) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._folder = folder
        self._jobs = jobs
        self._lock = threading.Lock()
        self._open: dict[str, _Upload] = {}

    def routes(self, endpoints: Endpoints) -> list[Route]:
        """The upload address for all methods."""
        return [
            endpoints.route("POST", _PATH, "jobs.insert", self._begin),
            endpoints.route("PUT", _PATH, "jobs.insert", self._continue),
        ]

    def _begin(self, call: Call) -> dict[str, Any] | Response:
        kind = call.query.get("uploadType")
        if kind == "multipart":
            return self._multipart(call)
        if kind != "resumable":
            raise ApiError(400, f"uploadType must be multipart or resumable, not {kind!r}.")
        upload_id = uuid.uuid4().hex
        path = self._folder / upload_id
        path.touch()
        with self._lock:
            self._open[upload_id] = _Upload(call.path["project"], call.body, path)
        host = call.headers.get("host", "127.0.0.1")
        address = _PATH.format(project=call.path["project"])
        location = f"http://{host}{address}?uploadType=resumable&upload_id={upload_id}"
        return Response(headers={"Location": location, "X-GUploader-UploadID": upload_id})

    def _multipart(self, call: Call) -> dict[str, Any]:
        header = f"Content-Type: {call.headers.get('content-type', '')}\r\n\r\n".encode()
        parser = email.parser.BytesParser(policy=email.policy.HTTP)
        message = parser.parsebytes(header, headersonly=True)
        boundary = message.get_param("boundary")
        if message.get_content_type() != "multipart/related" or not isinstance(boundary, str):
            raise ApiError(400, "A multipart upload needs the type multipart/related.")
        parts = _parts(call.content, boundary.encode())
        if len(parts) != 2:
            raise ApiError(400, "A multipart upload needs two parts: the job and the data.")
        path = self._folder / uuid.uuid4().hex
        path.write_bytes(parts[1])
        return self._start(call.path["project"], parse_object(parts[0]), path).document

    def _start(self, project: str, body: dict[str, Any], path: Path) -> Job:
        try:
            job = self._jobs.start(project, body, upload=path)
        except ApiError:
            path.unlink(missing_ok=True)
            raise
        job.done.wait(_WAIT_SECONDS)
        return job

    def _continue(self, call: Call) -> Response:
        with self._lock:
            upload = self._open.get(call.query.get("upload_id", ""))
        if upload is None:
            raise ApiError(404, "Not found: this upload was never begun, or has ended.")
        if upload.job is not None:
            return JSONResponse(upload.job.document)
        found = _RANGE.fullmatch(call.headers.get("content-range", "bytes */*"))
        if found is None:
            raise ApiError(400, "Malformed Content-Range.")
        first, last, total = found.groups()
        if first is not None:
            self._append(upload, int(first), int(last), call.content)
        if total != "*" and upload.received >= int(total):
            upload.job = self._start(upload.project, upload.body, upload.path)
            return JSONResponse(upload.job.document)
        headers = {"Range": f"bytes=0-{upload.received - 1}"} if upload.received else {}
        return Response(status_code=308, headers=headers)

    def _append(self, upload: _Upload, first: int, last: int, content: bytes) -> None:
        if last - first + 1 != len(content):
            raise ApiError(400, "Content-Range is not as long as the body.")
        if first > upload.received:
            raise ApiError(400, f"Bytes {upload.received} to {first - 1} are missing.")
        # A chunk that was sent again is taken from where the last one ended.
        fresh = content[upload.received - first :]
        with upload.path.open("ab") as file:
            file.write(fresh)
        upload.received += len(fresh)


def _parts(content: bytes, boundary: bytes) -> list[bytes]:
    """The bodies of the parts of a multipart body."""
    found = []
    for part in content.split(b"--" + boundary)[1:-1]:
        _, separator, body = part.partition(b"\r\n\r\n")
        if not separator:
            raise ApiError(400, "Malformed multipart body.")
        found.append(body.removesuffix(b"\r\n"))
    return found
