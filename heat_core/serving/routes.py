"""The routes of a service that decides by a bundle: /score, /health, /card and /metrics."""

# No `from __future__ import annotations`: FastAPI reads the annotations of routes, which name
# types that are imported within a function.

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from heat_core.bundles import Bundle, Decisions, bundle_files
from heat_core.bundles.files import DECISION
from heat_core.judge import Judge
from heat_core.messages import error_text
from heat_core.streams import RowBatch
from heat_core.texts import one_line
from heat_core.version import __version__

from .bodies import IMAGES, JSON, NPY, BodyReader, Refused, RequestLimits
from .figures import Figures, RequestCounter

if TYPE_CHECKING:
    from fastapi import FastAPI, Request

PATHS = ("/score", "/health", "/card", "/metrics")
WORKERS = 2  # requests that are scored at a time; the others wait in line
BODY_SECONDS = 60.0  # in which a body must have come
LONGEST_ERROR = 400  # characters

Ids = Iterable[Any]


def service(
    bundle: Bundle, judge: Judge | None = None, limits: RequestLimits = RequestLimits()
) -> "FastAPI":
    """Returns the app that answers by a bundle.

    Args:
        bundle: what decides.
        judge: sees images as those of the bundle's pack were seen; None to take no images.
        limits: of a request.

    Requests are read and scored in threads of the app's own, `WORKERS` at a time.
    """
    from fastapi import FastAPI, Request, Response
    from prometheus_client import CONTENT_TYPE_LATEST

    figures = Figures(bundle.detector.name)
    bodies = BodyReader(bundle.shape, judge, limits)
    workers = ThreadPoolExecutor(WORKERS, "score")
    card = bundle_files(bundle)[DECISION]
    app = FastAPI(title="HEAT", version=__version__, docs_url=None, redoc_url=None)
    app.add_middleware(RequestCounter, figures=figures, paths=frozenset(PATHS))
    _answer_errors(app)

    def score_body(read: Callable[[bytes], RowBatch], content: bytes) -> tuple[Decisions, bytes]:
        batch = read(content)
        decisions = bundle.decide(batch.features)
        return decisions, _to_json({"rows": _rows(batch.ids, decisions)})

    @app.post("/score", summary="Decide about rows or an image", openapi_extra=_SCORE_BODY)
    async def score(request: Request) -> Response:
        read = bodies.for_type(request.headers.get("content-type", ""))
        content = await _read_body(request, limits.body_bytes)
        loop = asyncio.get_running_loop()
        try:
            decisions, answer = await loop.run_in_executor(workers, score_body, read, content)
        except ValueError as error:  # the rows are not what the detector reads
            raise Refused(422, error_text(error)) from None
        figures.count_rows(decisions)
        return Response(answer, media_type=JSON)

    @app.get("/health", summary="Whether it answers, and what decides")
    async def health() -> Response:
        content = {"status": "ok", "detector": bundle.detector.name, "version": __version__}
        return Response(_to_json(content), media_type=JSON)

    @app.get("/card", summary="The decision: its rule, threshold, guarantee, and what it catches")
    async def decision() -> Response:
        return Response(card, media_type=JSON)

    @app.get("/metrics", summary="Figures for Prometheus")
    async def metrics() -> Response:
        return Response(figures.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return app


_ARRAY_SCHEMA = {"type": "string", "format": "binary"}
_ROWS_SCHEMA = {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}
_JSON_SCHEMA = {
    "type": "object",
    "required": ["z"],
    "additionalProperties": False,
    "properties": {
        "z": _ROWS_SCHEMA,
        "ids": {"type": "array", "items": {"type": ["string", "integer"]}},
        "views": {"type": "object", "additionalProperties": _ROWS_SCHEMA},
    },
}
_SCORE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {"schema": _JSON_SCHEMA},
            **{kind: {"schema": _ARRAY_SCHEMA} for kind in (*NPY, *IMAGES)},
        },
    }
}


def _rows(ids: Ids, decisions: Decisions) -> list[dict[str, Any]]:
    """Returns what is said of each row; floats keep every digit in JSON."""
    columns = {
        "id": list(ids),
        "score": decisions.scores.tolist(),
        "p_value": decisions.p_values.tolist(),
        "threshold": decisions.thresholds.tolist(),
        "is_ood": decisions.is_ood.tolist(),
    }
    if decisions.predicted is not None:
        columns["predicted"] = decisions.predicted.tolist()
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


def _to_json(value: Any) -> bytes:
    """Returns JSON in ASCII, so that half of a surrogate pair in an id comes back as it came."""
    return (json.dumps(value, allow_nan=False) + "\n").encode()


async def _read_body(request: "Request", most: int) -> bytes:
    """Returns the body, counted while it comes, whatever its length was said to be.

    Raises Refused if it is too large, packed, or does not come.
    """
    from starlette.requests import ClientDisconnect

    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise Refused(415, f"wanted a body without a Content-Encoding, got {encoding}.")
    too_large = Refused(413, f"the body is larger than {most:,} bytes, which a request may have.")
    said = request.headers.get("content-length", "")
    if said.isdecimal() and (len(said) > 20 or int(said) > most):
        raise too_large
    content = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                if len(content) + len(chunk) > most:
                    raise too_large
                content += chunk
    except TimeoutError:
        raise Refused(408, f"the body did not come within {BODY_SECONDS:.0f} seconds.") from None
    except ClientDisconnect:
        raise Refused(400, "the connection ended before the body did.") from None
    return bytes(content)


def _answer_errors(app: "FastAPI") -> None:
    """Makes every error one line of JSON."""
    from fastapi import Request, Response
    from starlette.exceptions import HTTPException

    def answer(status: int, reason: str, headers: Mapping[str, str] | None = None) -> Response:
        content = _to_json({"error": one_line(reason, LONGEST_ERROR)})
        return Response(content, status, headers, JSON)

    async def refuse(_: Request, error: Refused) -> Response:
        # what is left of a body that is not read is no next request
        unread = {"Connection": "close"} if error.status in (408, 413, 415) else None
        return answer(error.status, str(error), unread)

    async def refuse_route(request: Request, error: HTTPException) -> Response:
        wanted = "wanted POST /score, or GET /health, /card or /metrics"
        reason = f"{wanted}; got {request.method} {request.url.path}."
        return answer(error.status_code, reason, error.headers)

    async def fail(_: Request, error: Exception) -> Response:
        return answer(500, "the service failed; its log says why.")

    app.add_exception_handler(Refused, refuse)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, refuse_route)  # type: ignore[arg-type]
    app.add_exception_handler(Exception, fail)
