"""Single rows asked of `heat serve` by several clients at once, beside a bare FastAPI handler.

Both servers run in processes of their own, one at a time is asked, and they take turns. The bare
handler reads the same JSON and answers a constant; nothing is checked, scored or counted.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from heat_core.bundles import Bundle, load_bundle

from .scoring import DIM, write_bundle
from .timing import OURS, Options, Row

ROOT = Path(__file__).resolve().parent.parent
CLIENTS = 8
PEER = "bare FastAPI"
WARM_UP = 50  # requests of a client before any is measured
BARE = """
import socket
import uvicorn
from fastapi import FastAPI, Request

app = FastAPI()

@app.post("/score")
async def score(request: Request):
    rows = (await request.json())["z"]
    return {"rows": len(rows)}

with socket.create_server(("127.0.0.1", 0)) as listener:
    print(f"answers at http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(app, log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])
"""


def measure(options: Options) -> list[Row]:
    """Returns a row of both servers' 95th percentiles. Raises RuntimeError if one is no answer."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "bundle"
        write_bundle(folder)
        z = torch.randn(options.requests, DIM, generator=torch.Generator().manual_seed(1))
        bodies = [json.dumps({"z": [row]}).encode() for row in z.tolist()]
        command = ["-m", "heat_core", "serve", str(folder), "--port", "0"]
        with _serving(command) as ours, _serving(["-c", BARE]) as theirs:
            _check_answers(ours, load_bundle(folder), z, bodies)
            seconds = _take_turns({OURS: ours, PEER: theirs}, bodies, options.rounds)
    p95 = {
        name: statistics.quantiles(values, n=20, method="inclusive")[-1]
        for name, values in seconds.items()
    }
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return [
        Row(
            f"{options.requests:,} single rows of {DIM} from {CLIENTS} clients of `heat serve`",
            p95[OURS],
            PEER,
            p95[PEER],
            p95[OURS] / p95[PEER],
            f"no error; p95 stated (medians {medians[OURS]:.4f} and {medians[PEER]:.4f} s)",
            len(seconds[OURS]) == options.requests,
        )
    ]


@contextlib.contextmanager
def _serving(arguments: Sequence[str]) -> Iterator[int]:
    """Yields the port of a server that Python starts, and says at which address it answers."""
    command = [sys.executable, *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline().rpartition(":")[2])
    finally:
        process.terminate()
        process.communicate(timeout=60)


def _check_answers(port: int, bundle: Bundle, z: torch.Tensor, bodies: Sequence[bytes]) -> None:
    """Raises AssertionError if the first answers are not what the bundle says."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for row, body in zip(z[:10], bodies[:10], strict=True):
        (said,) = json.loads(_answer(connection, body))["rows"]
        assert abs(said["score"] - bundle.decide(row[None]).scores[0]) < 1e-6
    connection.close()


def _take_turns(
    ports: dict[str, int], bodies: Sequence[bytes], rounds: int
) -> dict[str, list[float]]:
    """Returns {name: seconds of each request}, each body once, in rounds that take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in ports}
    for port in ports.values():
        _ask_at_once(port, bodies[: WARM_UP * CLIENTS])
    for turn in range(rounds):
        names = list(ports) if turn % 2 else list(ports)[::-1]
        for name in names:
            seconds[name] += _ask_at_once(ports[name], bodies[turn::rounds])
    return seconds


def _ask_at_once(port: int, bodies: Sequence[bytes]) -> list[float]:
    """Returns the seconds of each request, asked by the clients together."""
    with ThreadPoolExecutor(CLIENTS) as clients:
        shares = [bodies[client::CLIENTS] for client in range(CLIENTS)]
        parts = clients.map(_ask_in_turn, [port] * CLIENTS, shares)
        return [seconds for part in parts for seconds in part]


def _ask_in_turn(port: int, bodies: Sequence[bytes]) -> list[float]:
    """Returns the seconds of each request of one client, on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    seconds = []
    for body in bodies:
        began = time.perf_counter()
        _answer(connection, body)
        seconds.append(time.perf_counter() - began)
    connection.close()
    return seconds


def _answer(connection: http.client.HTTPConnection, body: bytes) -> bytes:
    """Returns what a request is answered with. Raises RuntimeError if it is an error."""
    connection.request("POST", "/score", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        raise RuntimeError(f"status {response.status}: {content[:200]!r}")
    return content
