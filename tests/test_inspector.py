"""An image under the glass, and the flips it is found among: every state, through Streamlit's AppTest."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from app import comparison, controls, disagreement, session, tables
from app.insights import NEIGHBOURS, look
from app.jobs import Job
from app.selection import Part, Selection
from app.tasks import Scored, score_pack
from heat_core import explain
from heat_core.features import Pack, pack_arrays, write_pack
from tests.pages import link, opened, press, text

CACHE: dict[str, Job] = {}


def scored(pack: Pack) -> Job:
    """Returns the finished scoring of the small pack, made once."""
    if not CACHE:
        CACHE["job"] = Job("small", score_pack(pack, "quick", keep_runs=True))
        CACHE["job"].run()
        assert CACHE["job"].state == "done", CACHE["job"].error
    return CACHE["job"]


def standing_in(frames, over: bool = True, result=None):
    """Returns a stand-in for the scoring's work, which reports these frames."""

    def work(job: Job):
        for frame in frames:
            job.report(0.5, frame)
        while not over:
            time.sleep(0.01)
            job.report(0.5)
        return result

    return lambda *settings: work


@pytest.fixture
def pack(arrays) -> Pack:
    return pack_arrays(arrays, "Small")


@pytest.fixture(autouse=True)
def _one_pack(monkeypatch, tmp_path, pack):
    """A small pack whose scores are there at once."""
    session.jobs.clear()
    shutil.rmtree(tmp_path / "packs", ignore_errors=True)
    write_pack(pack, tmp_path / "packs" / "small")
    monkeypatch.setattr(session, "PACKS", tmp_path / "packs")
    done = scored(pack)
    monkeypatch.setattr(session, "score_pack", standing_in(done.frames, result=done.result))
    yield
    session.jobs.clear()


def page(view: str = "detectors", **state: str) -> AppTest:
    at = AppTest.from_file("../app/main.py", default_timeout=60)
    for key, value in state.items():
        at.query_params[key] = value
    at.run()
    at.switch_page(f"views/{view}.py")
    for _ in range(100):
        opened(at)
        if len(at.subheader) > 2 or at.error:
            break
        time.sleep(0.05)
    return opened(at)


def drawer(at: AppTest) -> str:
    """Returns all that the drawer says."""
    return " ".join(str(getattr(element, "value", "")) for element in at._tree[2]) if 2 in at._tree.children else ""


def test_probe():
    at = page(item="near_a/3")
    print({k: type(v) for k, v in at._tree.children.items()})
    print(at._tree)
    assert 0
