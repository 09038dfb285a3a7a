"""Words that go together: the general knowledge of the emulated base models.

A real model knows that a sender has to do with mail. The emulated ones know these groups, and
a larger model knows more of them; nothing here is learned from a data set.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from functools import lru_cache

_GROUPS = (
    "mail email message header sender recipient attachment mime",
    "mailbox folder inbox imap message flag",
    "smtp mail send recipient relay",
    "network socket connection address peer port bind listen",
    "address network ipaddress subnet mask prefix",
    "http web request response cookie browser status server",
    "url urllib link query scheme quote",
    "ftp ftplib transfer remote upload",
    "ssl certificate encryption handshake secure",
    "archive tarfile tar member extract",
    "archive zipfile zip compressed member",
    "compress zlib decompress stream",
    "thread threading lock semaphore barrier daemon acquire",
    "multiprocessing worker pool shared process",
    "async asyncio coroutine await loop future task",
    "subprocess command child exit pipe output",
    "os operating system process descriptor environment permission uid",
    "pathlib path directory suffix parent filesystem symlink",
    "shutil copy tree disk archive",
    "tempfile temporary directory",
    "datetime date time timezone day hour",
    "calendar month week weekday year",
    "time clock seconds sleep epoch",
    "random shuffle sample distribution seed",
    "secrets token random secure",
    "statistics mean median variance deviation data",
    "math cosine sine tangent logarithm root hyperbolic radians",
    "decimal precision rounding exponent operand logical nan",
    "fractions rational numerator denominator",
    "xml element node dom attribute document",
    "html markup tag entity",
    "json serialize decoder encoder javascript",
    "csv row delimiter field dialect comma separated",
    "pickle serialize unpickle dump persistent",
    "configparser section option ini interpolation",
    "hashlib hash digest sha checksum",
    "hmac keyed digest authentication",
    "base64 encode decode binary ascii bytes",
    "codecs encoding unicode incremental stream",
    "struct pack binary format buffer",
    "array typecode items machine",
    "logging log logger handler level formatter",
    "unittest test assert mock suite fixture",
    "argparse argument option command line parser usage",
    "re regular expression pattern match group",
    "textwrap wrap paragraph indent width",
    "string template substitution formatting",
    "difflib delta sequence difference similar",
    "itertools iterable iterator successive combinations elements",
    "functools partial cache wrapper decorator function",
    "collections mapping dictionary counter deque ordered",
    "heapq heap smallest largest priority",
    "queue fifo put item consumer",
    "operator operand callable comparison",
    "typing annotation generic hint protocol",
    "dataclasses field dataclass frozen",
    "enum member flag value",
    "types namespace dynamic coroutine",
    "inspect frame signature source callable parameter",
    "ast syntax expr node statement",
    "dis bytecode instruction opcode",
    "tokenize token source encoding",
    "traceback exception stack frame",
    "contextlib context manager exit enter",
    "weakref weak reference referent",
    "ctypes foreign library pointer",
    "sqlite3 database sql cursor transaction row",
    "uuid identifier unique",
    "io stream buffer raw read write text",
    "selectors register monitor ready",
    "platform machine release version",
    "mimetypes mime extension type guess",
    "shlex shell quote split",
    "warnings warn filter category",
    "pprint pretty printer",
)


def associated(word: str, capacity: float) -> frozenset[str]:
    """Words that go together with `word`, for a model of this capacity (0 to 1)."""
    known = _known(round(capacity, 2))
    return known.get(word) or known.get(word.removesuffix("s")) or frozenset()


@lru_cache(maxsize=32)
def _known(capacity: float) -> dict[str, frozenset[str]]:
    """Associations by word; a larger model knows all that a smaller one does."""
    associations: dict[str, set[str]] = defaultdict(set)
    for group in _GROUPS:
        rank = hashlib.blake2b(group.encode(), digest_size=2).digest()
        if int.from_bytes(rank) / 2**16 < capacity:
            members = set(group.split())
            for member in members:
                associations[member] |= members
    return {word: frozenset(members) for word, members in associations.items()}
