"""The service, method and model of a request, from its verb and path alone."""

from __future__ import annotations

import re
from dataclasses import dataclass

_BIGQUERY = re.compile(r"(?:/upload)?/bigquery/v2/projects(?:/[^/]+/?(?P<rest>.*))?")
_STORAGE = re.compile(r"(?:/resumable)?(?:/upload|/download)?/storage/v1/(?P<rest>.*)")
_VERTEX = re.compile(r"/v1(?:beta1)?/(?:projects/[^/]+/locations/[^/:]+/?)?(?P<rest>.*)")
_OWN = ("/emulator/", "/token", "/auth")
_MODEL = re.compile(r"(?:^|/)(?:publishers/[^/]+/models|endpoints)/(?P<model>[^/:]+)")
_VERBS = {
    **{"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update"},
    **{"PATCH": "patch", "DELETE": "delete"},
}
_OF_AN_OBJECT = {"compose": "compose", "rewriteTo": "rewrite", "copyTo": "copy", "moveTo": "move"}
_OF_A_TABLE_OR_JOB = {
    "insertAll": "tabledata.insertAll",
    "data": "tabledata.list",
    "cancel": "jobs.cancel",
    "delete": "jobs.delete",
}


@dataclass(frozen=True)
class Call:
    """One request, or one step of background work.

    Attributes:
        service: `storage`, `bigquery` or `vertex`; empty for the emulator's own paths.
        method: The API's name of the method, such as `generateContent` or `objects.insert`.
        model: Name of the model or endpoint that the path names.
        path: The path as it was sent, percent signs and all.
    """

    service: str
    method: str
    model: str | None
    path: str


def describe(verb: str, path: str) -> Call:
    """The call that an HTTP request with `verb` and `path`, as it was sent, makes."""
    if path.startswith(_OWN):
        return Call("", "", None, path)
    if match := _VERTEX.fullmatch(path):
        model = _MODEL.search(path)
        return Call("vertex", _vertex_method(verb, match["rest"]), model and model["model"], path)
    if match := _BIGQUERY.fullmatch(path):
        return Call("bigquery", _bigquery_method(verb, match["rest"]), None, path)
    if match := _STORAGE.fullmatch(path):
        return Call("storage", _storage_method(verb, match["rest"]), None, path)
    # What is left are signed addresses of Cloud Storage's XML API: /bucket/object.
    return Call("storage", f"objects.{_object_verb(verb)}", None, path)


def _vertex_method(verb: str, rest: str) -> str:
    if not rest:
        return "locations.get"
    resource, colon, custom = rest.rpartition(":")
    segments = (resource if colon else rest).strip("/").split("/")
    collections = "operations" if "operations" in segments else ".".join(segments[::2])
    if colon:
        is_model = "publishers" in segments or (
            collections == "endpoints" and "Model" not in custom
        )
        return custom if is_model or not collections else f"{collections}.{custom}"
    if verb in ("GET", "HEAD") and len(segments) % 2:
        return f"{collections}.list"
    return f"{collections}.{_VERBS.get(verb, verb.lower())}"


def _storage_method(verb: str, rest: str) -> str:
    segments = rest.strip("/").split("/")
    if "o" not in segments[2:3]:
        if len(segments) == 1:
            return "buckets.insert" if verb == "POST" else "buckets.list"
        return f"buckets.{_VERBS.get(verb, verb.lower())}"
    for segment in segments[4:]:
        if segment in _OF_AN_OBJECT:
            return f"objects.{_OF_AN_OBJECT[segment]}"
    if len(segments) == 3:
        return "objects.list" if verb == "GET" else "objects.insert"
    return f"objects.{_VERBS.get(verb, verb.lower())}"


def _object_verb(verb: str) -> str:
    return "insert" if verb in ("PUT", "POST") else _VERBS.get(verb, verb.lower())


def _bigquery_method(verb: str, rest: str | None) -> str:
    segments = (rest or "").strip("/").split("/")
    if segments == [""]:
        return "projects.list"
    resource, colon, custom = segments[-1].rpartition(":")
    if colon and resource and len(segments) > 1:
        return f"{segments[-2]}.{custom}"
    if segments[0] == "queries":
        return "jobs.query" if len(segments) == 1 else "jobs.getQueryResults"
    if len(segments) > 2 and segments[-1] in _OF_A_TABLE_OR_JOB:
        return _OF_A_TABLE_OR_JOB[segments[-1]]
    named = len(segments) % 2 == 0
    collection = segments[-2 if named else -1]
    if named:
        return f"{collection}.{_VERBS.get(verb, verb.lower())}"
    return f"{collection}.{'list' if verb == 'GET' else 'insert'}"
