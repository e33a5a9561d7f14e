"""Who the app listens to, what runs it, and that docs/SERVING.md names the bounds that hold."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from app.left_files import DEFAULT_MB, UPLOADS_VARIABLE
from heat_core.npz import FileLimits

ROOT = Path(__file__).parents[2]
SERVING = (ROOT / "docs" / "SERVING.md").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def _run_command(*settings: str, **environment: str) -> str:
    """Returns what `make run` would do."""
    command = [str(shutil.which("make")), "--dry-run", "--always-make", "run", *settings]
    environment = {"PATH": "/usr/bin:/bin"} | environment
    return subprocess.check_output(command, cwd=ROOT, env=environment, text=True)


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_make_run_listens_to_this_machine_alone_unless_asked() -> None:
    assert "--server.address 127.0.0.1" in _run_command()
    assert "--server.address 127.0.0.1" in _run_command(HOST="mine.example.org")  # a shell's own
    asked = _run_command("HOST=0.0.0.0")
    assert "--server.address 0.0.0.0" in asked
    assert "HEAT at http://0.0.0.0:8501" in asked


def test_the_app_listens_to_this_machine_alone_however_it_is_started() -> None:
    settings = tomllib.loads((ROOT / "app" / ".streamlit" / "config.toml").read_text())
    assert settings["server"]["address"] == "127.0.0.1"
    assert settings["server"]["enableXsrfProtection"]
    assert settings["server"]["enableCORS"]


def test_the_image_runs_as_somebody_who_does_not_own_the_code() -> None:
    lines = DOCKERFILE.splitlines()
    assert not [line for line in lines if "--chown" in line or line.startswith("RUN chown")]
    last_copy = max(i for i, line in enumerate(lines) if line.startswith("COPY"))
    users = [(i, line) for i, line in enumerate(lines) if line.startswith("USER")]
    assert users == [(users[0][0], "USER app")]
    assert users[0][0] > last_copy
    assert re.search(r"^WORKDIR /srv/", DOCKERFILE, re.MULTILINE)  # not in a home of the user's


def test_the_bounds_of_an_upload_are_those_that_are_written_down() -> None:
    limits = FileLimits()
    mebibytes = limits.kept_bytes // 2**20
    for bound in (limits.arrays, limits.rows, limits.width, limits.classes, mebibytes):
        assert re.search(rf"\| {bound:,}\b", SERVING), bound
    assert f"`{UPLOADS_VARIABLE}`" in SERVING
    assert f"{DEFAULT_MB} by default" in SERVING
