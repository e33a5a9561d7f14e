"""The server: what no visitor can take from it, what it clears up, and how it ends."""

from __future__ import annotations

import gc
import http.client
import re
import signal
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import streamlit as st

from app import server
from app.session import job_queue
from app.warm_up import warm_up
from benchmarks.visitors import Tab, Visitor
from tests.app.pages import JOB_SECONDS, app, endless, offered, opened, press, text, until
from tests.browser.driver import server_process

ROOT = Path(__file__).parents[2]
LONG = {"toy": "blobs", "preset": "best"}  # a training that goes on for as long as a test
KEY = "toy.blobs.HEAT.best.0"
QUICK_CARETAKER = """
import weakref
from pathlib import Path
from streamlit.runtime.app_session import AppSession
from streamlit.web.cli import main
from app import server

server.TEND_SECONDS = 0.1
server.CLOSE_SECONDS = 1.0
begin = AppSession.__init__

def begin_and_follow(session, *arguments, **settings):
    begin(session, *arguments, **settings)
    own_data = {{1}}
    weakref.finalize(own_data, Path("{freed}").write_text, "freed").atexit = False
    session.session_state["own_data"] = own_data

AppSession.__init__ = begin_and_follow
main()
"""
# A server whose trainings count slowly, and leave the processor alone.
COUNTING = """
import time
from app.plane import training
from streamlit.web.cli import main

def count(job):
    for i in range(1_000_000):
        job.report(min(i / 2_000, 0.99))
        time.sleep(0.01)

training.train_toy = lambda *settings: count
main()
"""
UNDER_WAY = "Training HEAT: "
TRAINING = """
from tests.app.pages import app, press, text, wait
at = press(app(toy="blobs", preset="best"), "Train HEAT")
wait(at, lambda page: "Training HEAT: 0%" not in text(page) and "Training HEAT: " in text(page))
"""


def _share_done(tab: Tab) -> int:
    """Returns how many percent of the training are done, as a page says."""
    done = re.search(r"Training HEAT: (\d+)%", tab.text)
    return int(done[1]) if done else 0


@pytest.fixture
def tab() -> Iterator[tuple[Tab, subprocess.Popen]]:
    """A tab in which a training is under way, and the server's process."""
    with server_process() as (url, process), Visitor(url).tab() as tab:
        tab.open(**LONG, job=KEY)
        until(lambda: _share_done(tab.run()) > 0, seconds=120)
        yield tab, process


def test_emptying_the_caches_loses_no_job(fresh_server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("app.plane.state.train_toy", lambda *settings: endless)
    at = press(app(toy="moons"), "Train HEAT")
    queue, key = job_queue(), "toy.moons.HEAT.modern.0"
    job = queue.get(key)
    assert job is not None
    until(lambda: job.state == "running")
    st.cache_resource.clear()
    st.cache_data.clear()
    assert job_queue() is queue
    assert queue.get(key) is job
    assert job.state == "running"
    assert "Cancel" in offered(opened(at))
    assert "Training HEAT" in text(app(toy="moons"))  # another finds it under way


@pytest.fixture(scope="module")
def counting() -> Iterator[str]:
    """The address of a server whose trainings go on until they are cancelled."""
    with server_process("-c", COUNTING) as (url, _):
        yield url


def test_a_visitor_who_sends_the_message_that_empties_the_caches_takes_no_job_away(counting: str):
    with Visitor(counting).tab() as open_tab:
        open_tab.open(**LONG, job=KEY)
        until(lambda: _share_done(open_tab.run()) > 0, seconds=120)
        before = _share_done(open_tab.run())
        visitor = Visitor(counting)
        with visitor.tab() as other:
            other.open()
            other.clear_caches()
            other.run()
        with visitor.tab() as other:
            assert _share_done(other.open(**LONG)) >= before  # by its key, and not begun anew
            other.press("Cancel")
        assert _share_done(open_tab.run()) >= before
        open_tab.press("Cancel")


def test_two_train_undisturbed_a_third_waits_and_another_visitor_begins_at_once(counting: str):
    visitor = Visitor(counting)
    with ExitStack() as stack:
        first, second, third, fourth = tabs = [stack.enter_context(visitor.tab()) for _ in range(4)]
        in_line = ["Waiting: number 1 in line", "Waiting: number 2 in line"]
        states = [UNDER_WAY, UNDER_WAY, *in_line]
        for seed, (open_tab, state) in enumerate(zip(tabs, states, strict=True), start=1):
            open_tab.open(**LONG, seed=str(seed)).press("Train HEAT")
            open_tab.wait_for(state)
        first.press("Cancel").wait_for("Training was cancelled.")
        third.wait_for(UNDER_WAY)
        assert UNDER_WAY in second.run().text  # nor is another touched
        fourth.wait_for(in_line[0])
        other_visitor = stack.enter_context(Visitor(counting).tab())
        other_visitor.open(toy="blobs", preset="quick").press("Train HEAT").wait_for(UNDER_WAY)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_in_order_while_a_training_is_under_way(tab, number: int):
    _, process = tab
    process.send_signal(number)
    assert process.wait(60) == 0


def test_a_process_of_tests_ends_in_order_while_a_training_is_under_way():
    command = [sys.executable, "-c", TRAINING]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True)
    assert ended.returncode == 0, ended.stderr.decode()


def test_what_a_closed_tab_leaves_is_freed_though_nobody_comes(tmp_path: Path):
    freed = tmp_path / "freed"
    freed.touch()
    with server_process("-c", QUICK_CARETAKER.format(freed=str(freed))) as (url, _):
        with Visitor(url).tab() as open_tab:
            assert "Nothing is trained yet" in open_tab.open().text
            assert not freed.read_text()
        until(lambda: freed.read_text() == "freed", seconds=60)


def test_no_visitors_data_is_kept_from_the_garbage_collector():
    settings = tomllib.loads((ROOT / "app/.streamlit/config.toml").read_text())
    assert settings["runner"]["postScriptGC"] is False  # the caretaker collects, beside the pages
    frozen = gc.get_freeze_count()
    warm_up()
    assert gc.get_freeze_count() <= frozen


def test_a_session_is_closed_once_its_tab_has_been_gone_for_long(monkeypatch: pytest.MonkeyPatch):
    now, connected, closed = [0.0], {"ann", "bob"}, []
    monkeypatch.setattr(server, "is_connected", connected.__contains__)
    monkeypatch.setattr(server, "close_session", lambda tab, session: closed.append(tab))
    monkeypatch.setattr(server.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(server, "warm_up", lambda: None)
    house = server.Server()
    for tab in ("ann", "bob"):
        house.welcome(tab)
    connected.discard("ann")
    now[0] = server.CLOSE_SECONDS - 1
    house.tend()
    assert closed == []  # she may come back
    now[0] += 2
    house.tend()
    house.tend()
    assert closed == ["ann"]
    assert house.jobs.stop(JOB_SECONDS)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells what is held")
def test_freed_memory_goes_back_to_the_system():
    """Blocks of 1 KiB are freed below one that stays: glibc would keep their 200 MiB."""
    code = """
import resource
from app.server import return_freed_memory

def held():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

blocks = [bytes(1024) for _ in range(200_000)]
last = bytes(1024)
before = held()
del blocks
return_freed_memory()
print((before - held()) // 2**20)
"""
    freed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert int(freed.stdout) > 150, freed.stderr


def _status_of_stream(url: str, origin: str) -> int:
    """Returns the HTTP status of a request for the websocket by a page of some origin."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "c29tZSBub25jZSAxNiBieQ==",
        "Sec-WebSocket-Protocol": "streamlit",
        "Origin": origin,
    }
    connection.request("GET", "/_stcore/stream", headers=headers)
    status = connection.getresponse().status
    connection.close()
    return status


def test_only_the_servers_own_pages_may_speak_to_it(counting: str):
    assert _status_of_stream(counting, counting) == 101
    assert _status_of_stream(counting, "https://elsewhere.example") == 403


def test_nothing_can_be_uploaded_without_the_token_of_a_session(counting: str):
    url = f"{counting}/_stcore/upload_file/no-session/no-file"
    for method in ("PUT", "POST", "DELETE"):
        request = urllib.request.Request(url, data=b"content", method=method)
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(request, timeout=30)
        assert refusal.value.code in (400, 403, 405)
        refusal.value.close()
