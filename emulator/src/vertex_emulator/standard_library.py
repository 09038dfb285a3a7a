"""The documentation of the standard library that runs this process, as short texts.

Real text, on every machine, with nothing to download; the same interpreter always gives the same.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

# Modules that import without side effects on every platform and have text worth asking about.
MODULES = (
    "argparse",
    "array",
    "ast",
    "asyncio",
    "base64",
    "calendar",
    "codecs",
    "collections",
    "configparser",
    "contextlib",
    "csv",
    "ctypes",
    "dataclasses",
    "datetime",
    "decimal",
    "difflib",
    "dis",
    "email",
    "enum",
    "fractions",
    "ftplib",
    "functools",
    "hashlib",
    "heapq",
    "hmac",
    "http",
    "imaplib",
    "inspect",
    "io",
    "ipaddress",
    "itertools",
    "json",
    "logging",
    "mailbox",
    "math",
    "mimetypes",
    "multiprocessing",
    "operator",
    "os",
    "pathlib",
    "pickle",
    "platform",
    "pprint",
    "queue",
    "random",
    "re",
    "secrets",
    "selectors",
    "shlex",
    "shutil",
    "smtplib",
    "socket",
    "sqlite3",
    "ssl",
    "statistics",
    "string",
    "struct",
    "subprocess",
    "tarfile",
    "tempfile",
    "textwrap",
    "threading",
    "time",
    "tokenize",
    "traceback",
    "types",
    "typing",
    "unittest",
    "urllib",
    "uuid",
    "warnings",
    "weakref",
    "xml",
    "zipfile",
    "zlib",
)
_SUBMODULES = {
    "asyncio": ("queues", "locks", "streams", "tasks", "events"),
    "email": ("message", "headerregistry", "generator", "policy", "utils"),
    "http": ("client", "cookiejar", "cookies", "server"),
    "logging": ("handlers", "config"),
    "multiprocessing": ("managers", "pool", "queues", "shared_memory"),
    "unittest": ("case", "mock", "loader", "suite"),
    "urllib": ("parse", "request", "robotparser", "error"),
    "xml": ("etree.ElementTree", "dom.minidom", "sax.handler", "sax.saxutils"),
}
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_FEWEST_WORDS = 6
_FEWEST_ENTRIES = 3


@dataclass(frozen=True)
class Entry:
    """One documented object of the standard library."""

    module: str
    name: str
    signature: str
    text: str

    @property
    def summary(self) -> str:
        """The first paragraph of the docstring, on one line (PEP 257)."""
        return " ".join(self.text.split("\n\n", 1)[0].split())


def documentation() -> list[Entry]:
    """Every documented public object of `MODULES` whose text occurs only once.

    A text that occurs under several names is dropped altogether, because it does not say which
    of them it describes. Modules with too few texts to learn from are left out.
    """
    entries = [entry for module in MODULES for entry in _module_entries(module)]
    texts = Counter(_normalized(entry) for entry in entries)
    entries = [entry for entry in entries if texts[_normalized(entry)] == 1]
    sizes = Counter(entry.module for entry in entries)
    return [entry for entry in entries if sizes[entry.module] >= _FEWEST_ENTRIES]


def _module_entries(name: str) -> Iterator[Entry]:
    for path in (name, *(f"{name}.{part}" for part in _SUBMODULES.get(name, ()))):
        try:
            module = importlib.import_module(path)
        except ImportError:  # an optional part of this build of Python
            continue
        yield from _entries_of(name, module)


def _entries_of(name: str, module: ModuleType) -> Iterator[Entry]:
    public = set(getattr(module, "__all__", vars(module)))
    for attribute, value in sorted(vars(module).items()):
        if attribute.startswith("_") or attribute not in public or not _belongs(value, name):
            continue
        qualified = f"{module.__name__}.{attribute}"
        yield from _entry(name, qualified, value)
        if inspect.isclass(value):
            for method, member in sorted(vars(value).items()):
                if not method.startswith("_") and callable(getattr(value, method, None)):
                    yield from _entry(name, f"{qualified}.{method}", member)


def _belongs(value: Any, name: str) -> bool:
    """Whether `value` was defined in module `name` or the C module behind it."""
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return False
    defined = getattr(value, "__module__", None) or ""
    return defined.partition(".")[0].lstrip("_") in {name, {"os": "posix", "re": "sre"}.get(name)}


def _entry(module: str, name: str, value: Any) -> Iterator[Entry]:
    if isinstance(value, (staticmethod, classmethod)):
        value = value.__func__
    text = inspect.cleandoc(value.__doc__) if isinstance(value.__doc__, str) else ""
    if len(text.split()) >= _FEWEST_WORDS:
        try:
            signature = _ADDRESS.sub("", str(inspect.signature(value)))
        except (TypeError, ValueError):
            signature = "(...)"
        yield Entry(module, name, signature, text)


def _normalized(entry: Entry) -> str:
    return " ".join(masked(entry.text, entry).lower().split())


def masked(text: str, entry: Entry) -> str:
    """`text` without the name of the entry's module, so that it can be asked for."""
    text = text.replace(entry.name, entry.name.rpartition(".")[2])
    return re.sub(rf"\b{re.escape(entry.module)}\b(\.(?=\w))?", "the module", text, flags=re.I)
