"""Files and folders are written whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import pytest

from heat_core import files
from heat_core.files import whole_folder, write_whole


def test_an_interrupted_file_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_whole(tmp_path / "f", b"old")

    def broken(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", broken)
    with pytest.raises(OSError, match="no space"):
        write_whole(tmp_path / "f", b"new")
    assert (tmp_path / "f").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "a").write_text("old")
    monkeypatch.setattr(files, "_exchange", lambda one, other: False)  # as on other systems
    plain = Path.replace

    def breaks(self: Path, target: Path) -> Path:
        if (self / "new").exists():
            raise OSError("the disk is gone")
        return plain(self, target)

    monkeypatch.setattr(Path, "replace", breaks)
    with pytest.raises(OSError, match="disk"), whole_folder(tmp_path / "f") as part:
        (part / "new").write_text("new")
    assert (tmp_path / "f" / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_folder_takes_the_place_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_exchange: bool
) -> None:
    if not can_exchange:
        monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    for name in ("a", "b"):
        with whole_folder(tmp_path / "deep" / "f") as part:
            (part / name).write_text(name)
    assert [path.name for path in (tmp_path / "deep" / "f").iterdir()] == ["b"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["f"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux exchanges folders here")
def test_a_folder_that_is_replaced_is_there_at_every_moment(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "f") as part:
        (part / "a").write_text("0")
    replacing = f"""
from pathlib import Path
from heat_core.files import whole_folder
for number in range(300):
    with whole_folder(Path({str(tmp_path / "f")!r})) as part:
        (part / "a").write_text(str(number))
"""
    process = subprocess.Popen([sys.executable, "-c", replacing], cwd=Path(__file__).parents[2])
    looks = count()
    while process.poll() is None:
        assert os.path.exists(tmp_path / "f")
        next(looks)
    assert process.returncode == 0
    assert next(looks) > 100
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_of_two_writers_that_must_not_overwrite_the_later_fails_and_says_why(
    tmp_path: Path,
) -> None:
    def write_later() -> None:
        with whole_folder(tmp_path / "f", overwrite=False) as later:
            (later / "a").write_text("later")
            with whole_folder(tmp_path / "f", overwrite=False) as first:
                (first / "a").write_text("first")

    with pytest.raises(FileExistsError, match="exists by now: something else wrote it"):
        write_later()
    assert (tmp_path / "f" / "a").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def _make_old(part: Path) -> None:
    """Makes a part as old as one that its writer has left."""
    old = time.time() - 2 * files.STALE_SECONDS
    os.utime(part, (old, old))


KILLED = """
import os, signal, sys
from pathlib import Path
from heat_core.files import whole_folder
with whole_folder(Path(sys.argv[1])) as part:
    (part / "a").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_writer_left_goes_at_the_next_write(tmp_path: Path) -> None:
    path = tmp_path / "f"
    subprocess.run([sys.executable, "-c", KILLED, path], cwd=Path(__file__).parents[2], check=False)
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".f.")
    with whole_folder(path) as part:
        (part / "a").write_text("whole")
    assert left.exists()  # it may have begun a moment ago
    _make_old(left)
    with whole_folder(path) as part:
        (part / "a").write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_what_a_writer_at_work_has_stays_however_old_it_is(tmp_path: Path) -> None:
    path = tmp_path / "f"
    others = [tmp_path / ".f.settings", tmp_path / ".g.abcdefgh.part"]
    for other in others:
        other.write_text("not a part of f")
        _make_old(other)
    with whole_folder(path) as slow:
        (slow / "a").write_text("slow")
        _make_old(slow)
        with whole_folder(path) as quick:
            (quick / "a").write_text("quick")
        assert (slow / "a").exists()
    assert (path / "a").read_text() == "slow"
    assert all(other.exists() for other in others)


def test_a_file_that_a_killed_writer_left_goes_at_the_next_write(tmp_path: Path) -> None:
    left = tmp_path / ".f.abcdefgh.part"
    left.write_bytes(b"half")
    _make_old(left)
    write_whole(tmp_path / "f", b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
