"""Uploads are read one by one, within what all of them may hold together."""

from __future__ import annotations

import gc
import io
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from app.server import return_freed_memory
from app.uploads import UploadBudget, UploadFile, UploadReader
from heat_core.table_files import ColumnNames
from tests.app.pages import until

Arrays = dict[str, np.ndarray]


def _npz(arrays: Arrays) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def _mine(content: bytes) -> list[UploadFile]:
    return [UploadFile("mine.npz", content)]


@pytest.fixture
def reader() -> UploadReader:
    """A reader of uploads that may hold 150 KB together, which is that of two of the arrays."""
    return UploadReader(UploadBudget(150_000))


def test_what_an_upload_holds_is_given_back_with_it(arrays: Arrays, reader: UploadReader) -> None:
    content = _npz(arrays)
    _, pack = reader.start_reading(_mine(content)).result()
    arrays_bytes = sum(array.nbytes for array in arrays.values())
    assert reader.budget.limit - reader.budget.free == len(content) + arrays_bytes
    del pack
    gc.collect()
    assert reader.budget.free == reader.budget.limit


def test_an_upload_that_is_refused_holds_nothing(arrays: Arrays, reader: UploadReader) -> None:
    broken = arrays | {"train_y": arrays["train_y"][:-1]}
    with pytest.raises(ValueError, match="train_y"):
        reader.start_reading(_mine(_npz(broken))).result()
    assert reader.budget.free == reader.budget.limit


def test_more_than_all_may_hold_is_refused_until_somebody_leaves(
    arrays: Arrays, reader: UploadReader
) -> None:
    content = _npz(arrays)
    kept = [reader.start_reading(_mine(content)).result()]
    size = reader.budget.limit - reader.budget.free
    while reader.budget.free >= size:
        kept.append(reader.start_reading(_mine(content)).result())
    with pytest.raises(ValueError) as caught:
        reader.start_reading(_mine(content)).result()
    line = str(caught.value)
    assert "all visitors' arrays may hold 150,000 together" in line
    assert "heat_core pack" in line
    assert "HEAT_PACKS" in line
    kept.clear()
    assert reader.start_reading(_mine(content)).result()


def test_too_many_sets_are_refused_with_the_bound_and_the_way_out(
    arrays: Arrays, reader: UploadReader
) -> None:
    z = arrays["near_a"][:1]
    many = arrays | {f"far_{i}": z for i in range(300)}
    with pytest.raises(ValueError) as caught:
        reader.start_reading(_mine(_npz(many))).result()
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
    digest, pack = reader.start_reading(files).result()
    assert pack.title == "train, test"
    assert pack.test.metadata["site"].texts() == ["south"] * 10
    assert digest != reader.start_reading(files, ColumnNames(id="site")).result()[0]
    _, pack = reader.start_reading([*files, *_mine(_npz(arrays))]).result()
    assert pack.title == "mine"
    with pytest.raises(ValueError, match=r"^train.CSV: there is no column 'kind' \(--label\)"):
        reader.start_reading(files, ColumnNames(label="kind")).result()


def test_one_upload_is_read_at_a_time(
    reader: UploadReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = threading.Lock()

    def read(*arguments: object) -> None:
        assert reading.acquire(blocking=False)
        gc.collect()
        reading.release()

    monkeypatch.setattr(reader, "_read", read)
    for future in [reader.start_reading(_mine(b"")) for _ in range(20)]:
        future.result()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells what is held")
def test_uploads_one_after_another_hold_no_more_than_one() -> None:
    reader = UploadReader(UploadBudget(2**26))
    z = np.random.default_rng(0).normal(size=(10_000, 256))  # 20 MB
    content = _npz(
        {"train_z": z, "train_y": np.arange(len(z)) % 4, "test_z": z[:5], "far_a": z[:5]}
    )
    assert len(content) > 20e6
    held = []
    for _ in range(30):
        _, pack = reader.start_reading(_mine(content)).result()
        assert reader.budget.free < reader.budget.limit - len(content)
        del pack
        until(lambda: reader.budget.free == reader.budget.limit)  # the thread lets go of it, too
        return_freed_memory()
        held.append(_held_bytes())
    # the first leaves the heap as all others find it
    assert max(held[2:]) - held[1] < len(content) / 2


def _held_bytes() -> int:
    """Returns the resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
