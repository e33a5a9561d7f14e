"""What a service counts, for Prometheus: requests, how long they took, rows, flagged rows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from heat_core.bundles import Decisions
from heat_core.version import __version__

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
P_VALUES = (0.001, 0.005, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class Figures:
    """The figures of one service, in a registry of its own.

    Args:
        detector: the name of its detector.
    """

    def __init__(self, detector: str) -> None:
        from prometheus_client import (
            CollectorRegistry,
            Counter,
            Histogram,
            Info,
            ProcessCollector,
        )

        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        bundle = Info("heat_bundle", "what decides", registry=self.registry)
        bundle.info({"detector": detector, "version": __version__})
        self.requests = Counter(
            "heat_requests", "requests answered", ("path", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "heat_request_seconds",
            "from the head of a request to the end of its answer",
            ("path",),
            registry=self.registry,
            buckets=SECONDS,
        )
        self.rows = Counter("heat_rows", "rows scored", registry=self.registry)
        self.flagged = Counter(
            "heat_flagged_rows", "rows called out-of-distribution", registry=self.registry
        )
        self.p_values = Histogram(
            "heat_p_value",
            "p-values of rows: of ID inputs a share of at most p lies at or below p",
            registry=self.registry,
            buckets=P_VALUES,
        )

    def count_request(self, path: str, status: int, seconds: float) -> None:
        """Counts a request that was answered."""
        self.requests.labels(path, str(status)).inc()
        self.seconds.labels(path).observe(seconds)

    def count_rows(self, decisions: Decisions) -> None:
        """Counts rows that were decided about."""
        self.rows.inc(len(decisions))
        self.flagged.inc(int(decisions.is_ood.sum()))
        for p in decisions.p_values.tolist():
            self.p_values.observe(p)

    def text(self) -> bytes:
        """Returns all figures as Prometheus reads them."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)


class RequestCounter:
    """ASGI middleware that counts every request and its seconds, errors too.

    Args:
        app: answers.
        figures: what counts.
        paths: that are counted by their names; all others count as `other`.
    """

    def __init__(self, app: ASGIApp, figures: Figures, paths: frozenset[str]) -> None:
        self.app, self.figures, self.paths = app, figures, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 500  # of what ends in an error

        async def watched_send(message: Message) -> Any:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        path = scope["path"] if scope["path"] in self.paths else "other"
        began = time.perf_counter()
        try:
            await self.app(scope, receive, watched_send)
        finally:
            self.figures.count_request(path, status, time.perf_counter() - began)
