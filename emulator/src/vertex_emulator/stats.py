"""Counters and a log of the requests that the emulator answered."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Any

_LOG_LENGTH = 1000


@dataclass(frozen=True)
class RequestRecord:
    """One answered request; holds no payload, so that no prompt or row is ever logged."""

    time: float
    service: str
    method: str
    model: str | None
    status: int
    milliseconds: float


class Stats:
    """Counts requests by service, method and model, and tokens billed by model; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started = time.time()
        self.clear()

    def clear(self) -> None:
        """Forget all counts and the log."""
        with self._lock:
            self._requests: Counter[tuple[str, str, str | None]] = Counter()
            self._errors: Counter[tuple[str, str, int]] = Counter()
            self._tokens: Counter[tuple[str, str]] = Counter()
            self._log: deque[RequestRecord] = deque(maxlen=_LOG_LENGTH)

    def record(
        self,
        service: str,
        method: str,
        *,
        status: int,
        milliseconds: float,
        model: str | None = None,
    ) -> None:
        """Count one request: `method` is the API's own name, such as `generateContent`."""
        with self._lock:
            self._requests[service, method, model] += 1
            if status >= 400:
                self._errors[service, method, status] += 1
            self._log.append(
                RequestRecord(time.time(), service, method, model, status, milliseconds)
            )

    def bill(self, model: str, **tokens: int) -> None:
        """Add billed tokens of `model` by kind: `input`, `output`, `cached`, `training`."""
        with self._lock:
            for kind, count in tokens.items():
                self._tokens[model, kind] += count

    def snapshot(self) -> dict[str, Any]:
        """All counts, as `GET /emulator/stats` shows them."""
        with self._lock:
            services: dict[str, dict[str, int]] = {}
            models: dict[str, dict[str, int]] = {}
            for (service, method, model), count in self._requests.items():
                by_method = services.setdefault(service, {})
                by_method[method] = by_method.get(method, 0) + count
                if model is not None:
                    by_model = models.setdefault(model, {})
                    by_model[method] = by_model.get(method, 0) + count
            tokens: dict[str, dict[str, int]] = {}
            for (model, kind), count in self._tokens.items():
                tokens.setdefault(model, {})[kind] = count
            errors = [
                {"service": service, "method": method, "status": status, "count": count}
                for (service, method, status), count in self._errors.items()
            ]
            return {
                "started": self._started,
                "requests": services,
                "models": models,
                "tokens": tokens,
                "errors": errors,
            }

    def log(self) -> list[dict[str, Any]]:
        """The latest requests, oldest first."""
        with self._lock:
            return [asdict(record) for record in self._log]
