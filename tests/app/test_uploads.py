"""Uploads are read one by one, within what all of them may hold together."""

from __future__ import annotations

import gc
import io
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.job import Job
from app.server import return_freed_memory
from app.uploads import UploadBudget, UploadFile, UploadReader
from heat_core.table_files import ColumnNames
from tests.app.pages import JOB_SECONDS, until

Arrays = dict[str, np.ndarray]


def _npz(arrays: Arrays) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def _mine(content: bytes) -> list[UploadFile]:
    return [UploadFile("mine.npz", content)]


def _result(job: Job) -> Any:
    """Returns what a job comes to. Raises ValueError if it fails, with its reason."""
    assert job.wait(JOB_SECONDS)
    if job.state == "failed":
        raise ValueError(job.error)
    return job.result


@pytest.fixture
def reader() -> UploadReader:
    """A reader of uploads that may hold 150 KB together, which is that of two of the arrays."""
    return UploadReader(UploadBudget(150_000))


def test_what_an_upload_holds_is_given_back_with_it(arrays: Arrays, reader: UploadReader) -> None:
    content = _npz(arrays)
    _, pack = _result(reader.start_reading(_mine(content)))
    arrays_bytes = sum(array.nbytes for array in arrays.values())
    assert reader.budget.limit - reader.budget.free == len(content) + arrays_bytes
    del pack
    gc.collect()
    assert reader.budget.free == reader.budget.limit


def test_an_upload_that_is_refused_holds_nothing(arrays: Arrays, reader: UploadReader) -> None:
    broken = arrays | {"train_y": arrays["train_y"][:-1]}
    with pytest.raises(ValueError, match="train_y"):
        _result(reader.start_reading(_mine(_npz(broken))))
    assert reader.budget.free == reader.budget.limit


def test_more_than_all_may_hold_is_refused_until_somebody_leaves(
    arrays: Arrays, reader: UploadReader
) -> None:
    content = _npz(arrays)
    kept = [_result(reader.start_reading(_mine(content)))]
    size = reader.budget.limit - reader.budget.free
    while reader.budget.free >= size:
        kept.append(_result(reader.start_reading(_mine(content))))
    with pytest.raises(ValueError) as caught:
        _result(reader.start_reading(_mine(content)))
    line = str(caught.value)
    assert "all visitors' arrays may hold 150,000 together" in line
    assert "heat_core pack" in line
    assert "HEAT_PACKS" in line
    kept.clear()
    assert _result(reader.start_reading(_mine(content)))


def test_too_many_sets_are_refused_with_the_bound_and_the_way_out(
    arrays: Arrays, reader: UploadReader
) -> None:
    z = arrays["near_a"][:1]
    many = arrays | {f"far_{i}": z for i in range(300)}
    with pytest.raises(ValueError) as caught:
        _result(reader.start_reading(_mine(_npz(many))))
    assert str(caught.value).startswith("mine.npz: more than 300 arrays; at most 300 are taken. ")
    assert "HEAT_PACKS" in str(caught.value)


def _csv(rows: int, site: str) -> bytes:
    lines = [f"{i % 3},{i % 5},{'ab'[i % 2]},{site}" for i in range(rows)]
    return "\n".join(["f0,f1,label,site", *lines]).encode()


def test_several_files_are_one_upload_of_which_the_last_of_a_name_counts(
    arrays: Arrays, reader: UploadReader
) -> None:
    files = [
        UploadFile("mine.npz", _npz(arrays)),  # by itself a pack, and older than the tables
        UploadFile("train.csv", b"nothing"),
        UploadFile("train.CSV", _csv(20, "north")),
        UploadFile("test.csv", _csv(10, "south")),
    ]
    digest, pack = _result(reader.start_reading(files))
    assert pack.title == "train, test"
    assert pack.test.metadata["site"].texts() == ["south"] * 10
    assert digest != _result(reader.start_reading(files, ColumnNames(id="site")))[0]
    _, pack = _result(reader.start_reading([*files, *_mine(_npz(arrays))]))
    assert pack.title == "mine"
    with pytest.raises(ValueError, match=r"^train.CSV: there is no column 'kind' \(--label\)"):
        _result(reader.start_reading(files, ColumnNames(label="kind")))
    late = [UploadFile("old.csv", b"a;b"), UploadFile("test.csv", _csv(10, "south"))]
    with pytest.raises(ValueError, match=r"^old.csv: .* are read together: take away"):
        _result(reader.start_reading(late))


def test_one_upload_is_read_at_a_time(
    reader: UploadReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = threading.Lock()

    def read(*arguments: object) -> None:
        assert reading.acquire(blocking=False)
        time.sleep(0.005)  # in which another could begin
        reading.release()

    monkeypatch.setattr(reader, "_read", read)
    for job in [reader.start_reading(_mine(b"")) for _ in range(20)]:
        _result(job)


def test_an_upload_that_is_cancelled_leaves_nothing_and_lets_the_next_be_read(
    arrays: Arrays, reader: UploadReader, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    steps: list[str] = []

    def stop_at_third(doing: str) -> None:
        steps.append(doing)
        if len(steps) == 3:
            job.cancel()

    monkeypatch.setattr(Job, "report", _reporting_to(stop_at_third))
    with reader.jobs.slots._changed:  # it begins once its name is known here
        job = reader.start_reading(_mine(_npz(arrays)))
    assert job.wait(JOB_SECONDS)
    assert job.state == "cancelled"
    assert job.result is None
    assert steps[:3] == ["reading mine", "reading train_z", "reading train_y"]
    assert reader.budget.free == reader.budget.limit
    assert list(tmp_path.iterdir()) == []
    assert _result(reader.start_reading(_mine(_npz(arrays))))


def _reporting_to(tell: Callable[[str], None]) -> Callable[..., None]:
    report = Job.report

    def report_and_tell(job: Job, progress: float, frame: object = None, doing: str = "") -> None:
        tell(doing)
        report(job, progress, frame, doing)

    return report_and_tell


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells what is held")
def test_uploads_one_after_another_do_not_add_up() -> None:
    reader = UploadReader(UploadBudget(2**26))
    z = np.random.default_rng(0).normal(size=(10_000, 256))  # 20 MB
    content = _npz(
        {"train_z": z, "train_y": np.arange(len(z)) % 4, "test_z": z[:5], "far_a": z[:5]}
    )
    assert len(content) > 20e6
    held = []
    for _ in range(30):
        _, pack = _result(reader.start_reading(_mine(content)))
        assert reader.budget.free < reader.budget.limit - len(content)
        del pack
        until(lambda: reader.budget.free == reader.budget.limit)  # the thread lets go of it, too
        return_freed_memory()
        held.append(_held_bytes())
    # 28 more leave what the heap may shift by once, no upload each
    assert max(held[2:]) - held[1] < 3 * len(content)


def _held_bytes() -> int:
    """Returns the resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
