"""What is assumed of Cloud Storage: writing once, compare-and-set, listing, permissions."""

from __future__ import annotations

from genaiops_dagster.google_cloud.object_store import ObjectChangedError
from genaiops_dagster.probe.assumption import Assumption
from genaiops_dagster.probe.bench import Bench
from genaiops_dagster.probe.outcome import DiffersError, expect

_DOCS = "https://cloud.google.com/storage/docs"
_REWRITES = 4


def _bucket(bench: Bench) -> str:
    from google.cloud import storage

    bucket = storage.Client(bench.settings.project).get_bucket(bench.settings.bucket)
    expect(bucket.location, "the bucket has no location")
    return f"the bucket is in {bucket.location}"


def _missing(bench: Bench) -> str:
    name = bench.object_name("missing")
    expect(bench.store.read(name) is None, "an object that was never written was read")
    expect(not bench.store.delete(name), "an object that was never written was deleted")
    return "404 for reading and for deleting"


def _write_once(bench: Bench) -> str:
    name = bench.object_name("once")
    expect(bench.store.write_once(name, b"first"), "the first write was refused")
    expect(not bench.store.write_once(name, b"second"), "a second write was accepted")
    expect(bench.store.read(name) == b"first", "the second write changed the object")
    return "412 for the second write; the object is unchanged"


def _compare_and_set(bench: Bench) -> str:
    name = bench.object_name("pointer")
    first = bench.store.compare_and_set(name, b"1", 0)
    second = bench.store.compare_and_set(name, b"2", first)
    expect(second != first, "overwriting did not change the generation")
    try:
        bench.store.compare_and_set(name, b"3", first)
    except ObjectChangedError:
        expect(bench.store.read(name) == b"2", "the refused write changed the object")
        return "412 at a generation that is past"
    raise DiffersError("a write at a generation that is past was accepted")


def _read_after_write(bench: Bench) -> str:
    name = bench.object_name("read")
    written = bench.store.compare_and_set(name, b"content", 0)
    found = bench.store.read_with_generation(name)
    expect(found == (b"content", written), f"read {found} right after writing it")
    return "content and generation are those that were written"


def _listing(bench: Bench) -> str:
    names = [bench.object_name(f"listed/{n}") for n in (2, 1, 3)]
    for name in names:
        bench.store.write(name, b"x")
    prefix = names[0].removesuffix("2")
    listed = [found.name for found in bench.store.list(prefix)]
    expect(set(listed) == set(names), f"{len(listed)} of 3 objects are listed")
    expect(listed == sorted(names), "they are not in order of name")
    later = [found.name for found in bench.store.list(prefix, f"{prefix}2")]
    expect(later == sorted(names)[1:], f"from the second on there are {len(later)}")
    bench.store.delete(names[0])
    after = {found.name for found in bench.store.list(prefix)}
    expect(names[0] not in after, "an object is still listed after it was deleted")
    return "written ones at once, in order, from a name on; deleted ones no more"


def _one_generation(bench: Bench) -> str:
    name = bench.object_name("generations")
    first = bench.store.compare_and_set(name, b"first", 0)
    bench.store.compare_and_set(name, b"second", first)
    from google.api_core.exceptions import NotFound

    try:
        with bench.store.open(name, first) as stream:
            content = stream.read()
    except NotFound:
        return "404 for a generation that was overwritten"
    expect(content == b"first", f"another generation was read: {content!r}")
    return "the overwritten generation was kept, and read"


def _rewrites(bench: Bench) -> str:
    name = bench.object_name("often")
    generation = 0
    for number in range(_REWRITES):
        generation = bench.store.compare_and_set(name, str(number).encode(), generation)
    return f"{_REWRITES} writes of one object in a row, with the client's own patience"


def _permissions(bench: Bench) -> str:
    from google.cloud import storage

    bucket = storage.Client(bench.settings.project).bucket(bench.settings.bucket)
    wanted = ["storage.objects.create", "storage.objects.list"]
    granted = bucket.test_iam_permissions(wanted)
    expect(set(granted) == set(wanted), f"it says that granted is: {', '.join(granted) or 'none'}")
    return "both permissions that were just used are named"


ASSUMPTIONS = (
    Assumption(
        "storage.bucket-metadata",
        "Cloud Storage",
        "The account may read the bucket's metadata, as the manager of Dagster's compute logs does",
        f"{_DOCS}/json_api/v1/buckets/get",
        "The deployed code server starts no run; deploy/setup.sh grants storage.buckets.get",
        _bucket,
    ),
    Assumption(
        "storage.missing-404",
        "Cloud Storage",
        "Reading or deleting an object that does not exist is answered with 404",
        f"{_DOCS}/json_api/v1/status-codes",
        "The first run of a use case fails where it looks for what is not there yet",
        _missing,
    ),
    Assumption(
        "storage.write-once",
        "Cloud Storage",
        "A write with ifGenerationMatch=0 to an existing object is refused with 412",
        f"{_DOCS}/request-preconditions",
        "Data sets are overwritten, and two runs pay for one tuning job each",
        _write_once,
    ),
    Assumption(
        "storage.compare-and-set",
        "Cloud Storage",
        "Every write changes the generation, and one at a past generation is refused with 412",
        f"{_DOCS}/request-preconditions",
        "Two promotions at once leave a champion that no decision names; ledgers lose entries",
        _compare_and_set,
    ),
    Assumption(
        "storage.read-after-write",
        "Cloud Storage",
        "What was written is read at once, with the generation that the write returned",
        f"{_DOCS}/consistency",
        "A claim is taken twice, and a step does not find what the step before has written",
        _read_after_write,
    ),
    Assumption(
        "storage.listing",
        "Cloud Storage",
        "A listing has all objects written before it, none deleted, by name, from startOffset on",
        f"{_DOCS}/consistency",
        "The decision log is read without its end; answers that were paid for are paid again",
        _listing,
    ),
    Assumption(
        "storage.one-generation",
        "Cloud Storage",
        "A read of one generation gives its content or 404, never another's",
        f"{_DOCS}/object-versioning",
        "A file of the inbox that is replaced while it is read becomes a mixture of both",
        _one_generation,
    ),
    Assumption(
        "storage.one-write-a-second",
        "Cloud Storage",
        "Writes of one object in quick succession are slowed down, not refused for good",
        "https://cloud.google.com/storage/quotas",
        "Claims and ledgers of concurrent steps fail with 429",
        _rewrites,
    ),
    Assumption(
        "storage.permissions",
        "Cloud Storage",
        "testIamPermissions of the bucket answers with those permissions that are granted",
        f"{_DOCS}/json_api/v1/buckets/testIamPermissions",
        "`genaiops doctor` names permissions as missing that are there, or the other way round",
        _permissions,
    ),
)  # fmt: skip
