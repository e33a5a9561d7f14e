"""The service of a bundle: what it answers, what it refuses, what it counts, and how it ends."""

from __future__ import annotations

import asyncio
import io
import json
import re
import signal
import socket
import struct
import subprocess
import sys
import urllib.request
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive

from heat_core.__main__ import main
from heat_core.bundles import Bundle, bundle_of, load_bundle, save_bundle
from heat_core.detectors.closed_form import MoG
from heat_core.detectors.weighted_sum import OfView
from heat_core.features import Features
from heat_core.pack import NO_EXTRA, Pack, read_pack, write_pack
from heat_core.serving import RequestLimits, bodies, routes, service
from heat_core.thresholds import Conformal, PerClassConformal
from heat_core.version import __version__
from tests.core.recipes import fitted
from tests.samples import DIM, clusters, image_bytes, with_views

NPY = {"content-type": "application/octet-stream"}
JSON = {"content-type": "application/json"}
PNG = {"content-type": "image/png"}
LIMITS = RequestLimits(rows=100, megabytes=1)
MEBIBYTE = 2**20


@pytest.fixture(scope="module")
def pack_folder(train: Features, far: Features, tmp_path_factory: pytest.TempPathFactory) -> Path:
    test = with_views(*clusters(200, 30))
    path = tmp_path_factory.mktemp("packs") / "samples"
    write_pack(Pack(train, test, {("far", "b"): far}, NO_EXTRA, {"title": "samples"}), path)
    return path


@pytest.fixture(scope="module")
def pack(pack_folder: Path) -> Pack:
    return read_pack(pack_folder)


@pytest.fixture(scope="module")
def bundle(pack: Pack) -> Bundle:
    return bundle_of(fitted(MoG(), pack.train), pack, Conformal(0.9))


@pytest.fixture(scope="module")
def client(bundle: Bundle) -> Iterator[TestClient]:
    with TestClient(service(bundle, limits=LIMITS)) as client:
        yield client


def array_bytes(array: Any, **options: Any) -> bytes:
    content = io.BytesIO()
    np.save(content, array, **options)
    return content.getvalue()


def said_of(client: TestClient, body: Any, headers: dict[str, str] = JSON) -> list[dict[str, Any]]:
    """Returns the rows that a good request is answered with."""
    content = body if isinstance(body, bytes) else json.dumps(body)
    answer = client.post("/score", content=content, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()["rows"]


def refused(
    client: TestClient,
    status: int,
    words: str,
    body: Any,
    headers: dict[str, str] = JSON,
) -> None:
    """Passes if a request is refused with a status, in one line of JSON that holds the words."""
    content = body if isinstance(body, bytes) else json.dumps(body)
    answer = client.post("/score", content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    reason = answer.json()["error"]
    assert words in reason
    assert "\n" not in reason
    assert len(reason) <= 400


def figures(client: TestClient) -> dict[str, float]:
    """Returns {name and labels: value} of what Prometheus reads."""
    lines = client.get("/metrics").text.splitlines()
    pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
    return {name: float(value) for name, value in pairs}


# -- what is answered ------------------------------------------------------------------------------


def test_rows_in_json_get_what_the_bundle_decides_to_the_last_bit(client, bundle, pack):
    z = np.concatenate([pack.test.z[:5].numpy(), pack.test.z[:5].numpy() + 9])
    decisions = bundle.decide(z)
    assert 5 <= decisions.is_ood.sum() < 10
    rows = said_of(client, {"z": z.tolist()})
    assert [row["id"] for row in rows] == list(range(10))
    assert [row["score"] for row in rows] == decisions.scores.tolist()
    assert [row["p_value"] for row in rows] == decisions.p_values.tolist()
    assert [row["threshold"] for row in rows] == decisions.thresholds.tolist()
    assert [row["is_ood"] for row in rows] == decisions.is_ood.tolist()
    assert [row["predicted"] for row in rows] == decisions.predicted.tolist()


def test_ids_come_back_as_they_came(client, pack):
    ids = ["a", "zwölf \U0001f438", 7, "\ud800", -(10**30)]
    rows = said_of(client, {"z": pack.test.z[:5].tolist(), "ids": ids})
    assert [row["id"] for row in rows] == ids


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<f2", "<i4", "u1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_in_an_array_get_what_the_bundle_decides(client, bundle, pack, dtype, order):
    z = np.asarray(pack.test.z[:4].numpy(), dtype, order=order)
    rows = said_of(client, array_bytes(z), NPY)
    wanted = bundle.decide(z.astype(np.float64)).scores
    np.testing.assert_allclose([row["score"] for row in rows], wanted, rtol=1e-6)
    assert said_of(client, array_bytes(z), {"content-type": "application/X-NPY; a=b"}) == rows


def test_a_threshold_a_class_is_answered_with_that_of_the_row(pack):
    bundle = bundle_of(fitted(MoG(), pack.train), pack, PerClassConformal(0.7))
    decisions = bundle.decide(pack.test)
    with TestClient(service(bundle)) as client:
        rows = said_of(client, {"z": pack.test.z.tolist()})
        assert client.get("/card").json()["thresholds_by_class"] == {
            str(label): threshold for label, threshold in bundle.decision.by_class.items()
        }
    assert len({row["threshold"] for row in rows}) > 1
    assert [row["threshold"] for row in rows] == decisions.thresholds.tolist()


def test_without_a_head_no_class_is_predicted(pack):
    train, test = Features(pack.train.z, pack.train.y), Features(pack.test.z)
    headless = Pack(train, test, {("far", "b"): Features(pack.test.z + 9)}, NO_EXTRA, {})
    bundle = bundle_of(fitted(MoG(), train), headless, Conformal())
    with TestClient(service(bundle)) as client:
        (row,) = said_of(client, {"z": pack.test.z[:1].tolist()})
    assert list(row) == ["id", "score", "p_value", "threshold", "is_ood"]


def test_views_are_read_where_the_detector_reads_them(pack):
    bundle = bundle_of(fitted(OfView("std", MoG()), pack.train), pack, Conformal(0.9))
    rows = pack.test.take(slice(0, 3))
    views = {"std": rows.views["std"].tolist()}
    with TestClient(service(bundle)) as client:
        said = said_of(client, {"z": rows.z.tolist(), "views": views})
        assert [row["score"] for row in said] == bundle.decide(rows).scores.tolist()
        refused(client, 422, "must have the view std", {"z": rows.z.tolist()})
        refused(client, 422, "must have the view std", array_bytes(rows.z.numpy()), NPY)
        views["std"].pop()
        refused(
            client, 422, "z__std must have shape (3, d)", {"z": rows.z.tolist(), "views": views}
        )
        views["std"] = [[1.0] * (DIM - 1)] * 3
        refused(
            client,
            422,
            f"lists of {DIM}".replace("lists", "a list"),
            {"z": rows.z.tolist(), "views": views},
        )


def test_health_and_card_say_what_decides(client, folder):
    assert client.get("/health").json() == {
        "status": "ok",
        "detector": "MoG",
        "version": __version__,
    }
    with TestClient(service(load_bundle(folder))) as loaded:
        assert loaded.get("/card").json() == json.loads((folder / "decision.json").read_text())


def test_the_schema_names_what_can_be_posted(client):
    score = client.get("/openapi.json").json()["paths"]["/score"]["post"]
    content = score["requestBody"]["content"]
    assert set(content) >= {"application/json", "application/octet-stream", "image/png"}


# -- images ----------------------------------------------------------------------------------------


class Brightness:
    """Sees of an image how bright it is, where a network would see more."""

    def features(self, pixels: np.ndarray) -> Features:
        z = torch.ones(1, DIM)
        z[0, 0] = float(pixels.mean()) / 255
        return Features(z)


EYE: Any = Brightness()


def test_an_image_gets_what_the_bundle_decides_of_its_features(bundle):
    z = [[200 / 255, *[1.0] * (DIM - 1)]]
    with TestClient(service(bundle, EYE)) as client:
        (row,) = said_of(client, image_bytes(200, "PNG"), PNG)
        (other,) = said_of(client, image_bytes(10), {"content-type": "image/jpeg"})
    assert row["score"] == pytest.approx(bundle.decide(z).scores[0], rel=1e-6)
    assert row["id"] == 0
    assert other["score"] != row["score"]


def test_what_is_no_image_and_a_bomb_of_one_are_refused(bundle):
    with TestClient(service(bundle, EYE)) as client:
        refused(client, 422, "not an image", b"\x89PNG no", PNG)
        refused(client, 422, "not an image", b"", PNG)
        refused(client, 422, "wanted a whole PNG", image_bytes(9, "PNG")[:60], PNG)
        refused(client, 422, "megapixels", png_that_claims(60_000, 60_000), PNG)
        refused(
            client, 415, "or an image; got image/svg+xml", b"", {"content-type": "image/svg+xml"}
        )


def png_that_claims(width: int, height: int) -> bytes:
    """Returns a PNG of a few bytes whose header says that it has so many pixels."""
    chunks = [
        (b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(10_000))),
        (b"IEND", b""),
    ]
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in chunks:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        content += struct.pack(">I", len(data)) + kind + data + checksum
    return content


def test_without_a_network_images_are_refused(client):
    refused(client, 415, "no images are read here; got image/png", image_bytes(9, "PNG"), PNG)


# -- what is refused -------------------------------------------------------------------------------

ROW = [0.5] * DIM
BAD_JSON = [
    (b"", 400, "not JSON"),
    (b"{", 400, "not JSON"),
    (b"\xff\xfe\x00", 400, "not JSON"),
    (b'{"z": [[NaN]]}', 400, "NaN is no number in JSON"),
    (b'{"z": [[-Infinity]]}', 400, "-Infinity is no number"),
    (b'{"z": [[' + b"9" * 5000 + b"]]}", 400, "not JSON"),
    (b'{"z": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", 400, "nested too deeply"),
    (b"[" * 100_000, 400, "nested too deeply"),
    (b'{"a":' * 10_000, 400, "nested too deeply"),
    ([ROW], 422, 'wanted {"z": [[numbers], ...]}, got a list'),
    (None, 422, "got null"),
    (1.5, 422, "got a number"),
    ({}, 422, "the key z"),
    ({"z": [ROW], "rows": 1}, 422, "there is no key rows"),
    ({"z": [ROW], "a\nb\x1b[31m\ud800" * 999: 1}, 422, "there is no key"),
    ({"z": []}, 422, "got an empty list"),
    ({"z": {}}, 422, "got an object"),
    ({"z": ROW}, 422, "row 0 is a number"),
    ({"z": [[]]}, 422, f"a list of {DIM} numbers; row 0 has 0"),
    ({"z": [ROW, ROW[1:]]}, 422, f"row 1 has {DIM - 1}"),
    ({"z": [["1"] * DIM]}, 422, "row 0 holds a text"),
    ({"z": [[*ROW[1:], True]]}, 422, "row 0 holds true or false"),
    ({"z": [[*ROW[1:], None]]}, 422, "row 0 holds null"),
    ({"z": [[*ROW[1:], [1.0]]]}, 422, "row 0 holds a list"),
    ({"z": [[*ROW[1:], 10**400]]}, 422, "beyond what floats hold"),
    ({"z": [[*ROW[1:], 10**30]]}, 422, "within 1e+15 of 0"),
    (json.dumps({"z": [ROW]}).replace("0.5", "1e999").encode(), 422, "must be finite, got inf"),
    ({"z": [ROW] * 101}, 413, "z has 101 rows; a request may have 100"),
    ({"z": [ROW], "views": []}, 422, "views must be"),
    ({"z": [ROW], "views": {"hat": [ROW]}}, 422, "there is no view hat; the detector knows"),
    ({"z": [ROW], "ids": "a"}, 422, "got a text"),
    ({"z": [ROW], "ids": ["a", "b"]}, 422, "got 2 for 1 rows"),
    ({"z": [ROW], "ids": [True]}, 422, "got true or false among them"),
    ({"z": [ROW], "ids": [[1]]}, 422, "got a list among them"),
]


@pytest.mark.parametrize(("body", "status", "words"), BAD_JSON, ids=range(len(BAD_JSON)))
def test_json_that_is_not_what_is_wanted_is_refused_in_one_line(client, body, status, words):
    refused(client, status, words, body)


def header_bytes(text: str) -> bytes:
    """Returns the header of an .npy file that says so."""
    line = text.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(line)) + line


GOOD = array_bytes(np.ones((2, DIM)))
BAD_ARRAYS = [
    (b"", 400, "not an array"),
    (b"\x93NUMPY", 400, "not an array"),
    (b"PK\x03\x04 an npz", 400, "not an array"),
    (GOOD[:-1], 400, "not an array"),
    (GOOD + b"0", 400, "more follows where it should end"),
    (header_bytes("{'descr': '<f8', 'fortran_order': False, 'shape': (99, 12)}"), 400, "more than"),
    (header_bytes("{'descr': '<f8', 'fortran_order': False, 'shape': (10**9, 12)}"), 400, "not an"),
    (
        header_bytes("{'descr': '<f8', 'fortran_order': False, 'shape': (9000000000, 12)}"),
        413,
        "9,000,000,000 rows; a request may have 100",
    ),
    (header_bytes("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 12)}"), 400, "the shape"),
    (header_bytes("{'descr': '|O', 'fortran_order': False, 'shape': (1, 12)}"), 422, "object"),
    (header_bytes("(" * 110), 400, "not an array"),
    (array_bytes(np.array([[{}] * DIM]), allow_pickle=True), 422, "wanted numbers"),
    (array_bytes(np.ones((1, DIM), bool)), 422, "got bool"),
    (array_bytes(np.ones((1, DIM), complex)), 422, "got complex128"),
    (array_bytes(np.ones((1, DIM), np.longdouble)), 422, "wanted numbers of shape (N, 12)"),
    (array_bytes(np.full((1, DIM), "a")), 422, "got <U1"),
    (array_bytes(np.zeros((1, DIM), "f4,f4")), 422, "wanted numbers"),
    (array_bytes(np.ones(DIM)), 422, "of shape (12,)"),
    (array_bytes(np.array(1.0)), 422, "of shape ()"),
    (array_bytes(np.ones((0, DIM))), 422, "of shape (0, 12)"),
    (array_bytes(np.ones((2, DIM + 1))), 422, "of shape (2, 13)"),
    (array_bytes(np.ones((2, DIM, 1))), 422, "of shape (2, 12, 1)"),
    (array_bytes(np.full((1, DIM), np.nan)), 422, "must be finite, got nan"),
    (array_bytes(np.full((1, DIM), -np.inf)), 422, "must be finite, got -inf"),
    (array_bytes(np.ones((101, DIM))), 413, "101 rows; a request may have 100"),
]


@pytest.mark.parametrize(("body", "status", "words"), BAD_ARRAYS, ids=range(len(BAD_ARRAYS)))
def test_an_array_that_is_not_what_is_wanted_is_refused_in_one_line(client, body, status, words):
    refused(client, status, words, body, NPY)


def test_bodies_of_other_types_are_refused(client):
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "é;"):
        headers = {"content-type": kind.encode("latin-1")}
        refused(client, 415, "wanted the Content-Type application/json", b"{}", headers)
    refused(client, 415, "got none", b"{}", {})
    refused(client, 415, "without a Content-Encoding", b"{}", {**JSON, "content-encoding": "gzip"})


def test_a_large_body_is_refused_whatever_its_length_is_said_to_be(client):
    pieces_sent = []

    def pieces() -> Iterator[bytes]:
        for number in range(40):
            pieces_sent.append(number)
            yield bytes(MEBIBYTE // 8)

    refused(client, 413, "larger than 1,048,576 bytes", bytes(MEBIBYTE + 1), NPY)
    for length in ({}, {"content-length": "10"}, {"content-length": "ten"}):
        answer = client.post("/score", content=pieces(), headers={**NPY, **length})
        assert answer.status_code == 413
        assert answer.headers["connection"] == "close"
    for length in (str(MEBIBYTE + 1), "9" * 5000):
        refused(client, 413, "larger than", b"{}", {**JSON, "content-length": length})
    largest = GOOD + bytes(MEBIBYTE - len(GOOD))
    refused(client, 400, "more follows where it should end", largest, NPY)


def answer_to(app: ASGIApp, receive: Receive) -> tuple[int, Any]:
    """Returns the status and the JSON that a request is answered with, whatever comes of it."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/score",
        "query_string": b"",
        "headers": [(b"content-type", NPY["content-type"].encode())],
    }
    asyncio.run(app(scope, receive, send))
    start, *rest = sent
    return start["status"], json.loads(b"".join(message["body"] for message in rest))


def test_a_body_that_does_not_come_is_given_up(bundle, monkeypatch):
    monkeypatch.setattr(routes, "BODY_SECONDS", 0.01)

    async def never() -> Message:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    status, said = answer_to(service(bundle), never)
    assert status == 408
    assert said == {"error": "the body did not come within 0 seconds."}


def test_a_client_that_goes_is_no_error_of_ours(bundle):
    async def gone() -> Message:
        return {"type": "http.disconnect"}

    status, said = answer_to(service(bundle), gone)
    assert status == 400
    assert said == {"error": "the connection ended before the body did."}


def test_other_paths_and_methods_are_refused_in_json(client):
    for method, path, status in (
        ("GET", "/", 404),
        ("GET", "/docs", 404),
        ("GET", "/score", 405),
        ("POST", "/health", 405),
    ):
        answer = client.request(method, path)
        assert answer.status_code == status
        assert answer.json() == {
            "error": f"wanted POST /score, or GET /health, /card or /metrics; got {method} {path}."
        }


def test_an_error_of_ours_is_no_traceback_to_a_client(bundle, monkeypatch):
    def fail(*_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(Bundle, "decide", fail)
    client = TestClient(service(bundle), raise_server_exceptions=False)
    answer = client.post("/score", content=GOOD, headers=NPY)
    assert answer.status_code == 500
    assert answer.json() == {"error": "the service failed; its log says why."}
    assert figures(client)['heat_requests_total{path="/score",status="500"}'] == 1


@pytest.mark.parametrize(
    ("rows", "megabytes", "words"),
    [(0, 1, "a row at least"), (1, 0, "1 to 1,024 MB"), (1, 2000, "got 2,000")],
)
def test_limits_that_cannot_be_are_refused(rows, megabytes, words):
    with pytest.raises(ValueError, match=words):
        RequestLimits(rows, megabytes)


def test_what_json_held_is_named(client):
    assert [bodies._kind(value) for value in ([1], {}, "", False, None, 0)] == [
        "a list",
        "an object",
        "a text",
        "true or false",
        "null",
        "a number",
    ]


# -- what is counted -------------------------------------------------------------------------------


def test_requests_rows_and_p_values_are_counted_in_a_registry_of_the_services_own(bundle, pack):
    z = np.concatenate([pack.test.z[:6].numpy(), pack.test.z[:4].numpy() + 9])
    decisions = bundle.decide(z)
    with TestClient(service(bundle)) as other, TestClient(service(bundle)) as client:
        said_of(client, {"z": z.tolist()})
        said_of(client, {"z": z[:1].tolist()})
        refused(client, 422, "", {})
        client.get("/nothing/at/all")
        client.get("/metrics")
        counted = figures(client)
        untouched = figures(other)
    assert counted['heat_requests_total{path="/score",status="200"}'] == 2
    assert counted['heat_requests_total{path="/score",status="422"}'] == 1
    assert counted['heat_requests_total{path="other",status="404"}'] == 1
    assert counted['heat_requests_total{path="/metrics",status="200"}'] == 1
    assert counted['heat_request_seconds_count{path="/score"}'] == 3
    assert counted['heat_request_seconds_bucket{le="+Inf",path="/score"}'] == 3
    assert counted["heat_rows_total"] == 11
    p = [*decisions.p_values, decisions.p_values[0]]
    flagged = [*decisions.is_ood, decisions.is_ood[0]]
    assert counted["heat_flagged_rows_total"] == sum(flagged) >= 4
    assert counted['heat_p_value_bucket{le="0.1"}'] == sum(value <= 0.1 for value in p)
    assert counted[f'heat_bundle_info{{detector="MoG",version="{__version__}"}}'] == 1
    assert untouched["heat_rows_total"] == 0
    assert not [name for name in untouched if "/score" in name]


# -- the command -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundles") / "bundle"
    save_bundle(bundle, path)
    return path


def test_a_service_starts_answers_and_ends_in_order(folder, bundle, pack):
    command = [sys.executable, "-m", "heat_core", "serve", str(folder), "--port", "0"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        started = re.fullmatch(r"MoG answers at (http://127\.0\.0\.1:\d+)\n", line)
        assert started, line
        z = pack.test.z[:1].tolist()
        request = urllib.request.Request(
            f"{started[1]}/score", json.dumps({"z": z}).encode(), headers=JSON
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            (row,) = json.load(answer)["rows"]
        assert row["score"] == bundle.decide(z).scores[0]
        process.send_signal(signal.SIGTERM)
        output = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert output == ("", "")
    assert process.returncode == 0


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Returns the line that `serve` ends with, before it serves."""
    assert main(["serve", *map(str, arguments)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    return said.err


def test_what_cannot_be_served_ends_in_one_line(folder, pack, pack_folder, tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert "Address already in use" in refusal(capsys, folder, "--port", port)
    assert "cannot listen on --host" in refusal(capsys, folder, "--host", "no.such.host.invalid")
    assert "must lie in 0..65,535, got 70000" in refusal(capsys, folder, "--port", 70_000)
    assert "a row at least" in refusal(capsys, folder, "--max-rows", 0)
    assert "1 to 1,024 MB" in refusal(capsys, folder, "--max-mb", 0)
    anywhere = ("--port", 0)
    assert "is no file" in refusal(capsys, tmp_path, *anywhere)
    assert "device" in refusal(capsys, folder, *anywhere, "--device", "abacus")
    assert "--weights is for --images" in refusal(capsys, folder, "--weights", "a.safetensors")
    write_pack(replace(pack, test=pack.train), tmp_path / "other")
    another = refusal(capsys, folder, *anywhere, "--images", tmp_path / "other")
    assert "must be the pack that the bundle was made of, samples" in another
    images = ("--images", pack_folder)
    assert "no network at" in refusal(capsys, folder, *anywhere, *images)
    assert "invalid int value" in refusal(capsys, folder, "--port", "http")


@pytest.mark.parametrize("module", ["fastapi", "uvicorn", "prometheus_client"])
def test_without_the_extra_it_is_named(folder, monkeypatch, capsys, module):
    from heat_core.commands import shared

    def find_spec(name: str) -> object:
        return None if name == module else object()

    monkeypatch.setattr(shared.util, "find_spec", find_spec)
    wanted = f"this needs {module}; pip install 'heat-dashboard[serve]'"
    assert wanted in refusal(capsys, folder)
