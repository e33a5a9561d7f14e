"""Uploads are read one by one, within what all of them may hold together."""

from __future__ import annotations

import gc
import io
import threading

import numpy as np
import pytest

from app.pack import uploads
from app.pack.uploads import UploadBudget, start_reading

Arrays = dict[str, np.ndarray]


def _npz(arrays: Arrays) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


@pytest.fixture
def budget(monkeypatch: pytest.MonkeyPatch) -> UploadBudget:
    """What all uploads may hold: 150 KB, which is that of two of the arrays."""
    budget = UploadBudget(150_000)
    monkeypatch.setattr(uploads, "BUDGET", budget)
    return budget


def test_what_an_upload_holds_is_given_back_with_it(arrays: Arrays, budget: UploadBudget) -> None:
    content = _npz(arrays)
    _, pack = start_reading(content, "mine.npz").result()
    arrays_bytes = sum(array.nbytes for array in arrays.values())
    assert budget.limit - budget.free == len(content) + arrays_bytes
    del pack
    gc.collect()
    assert budget.free == budget.limit


def test_an_upload_that_is_refused_holds_nothing(arrays: Arrays, budget: UploadBudget) -> None:
    broken = arrays | {"train_y": arrays["train_y"][:-1]}
    with pytest.raises(ValueError, match="train_y"):
        start_reading(_npz(broken), "mine.npz").result()
    assert budget.free == budget.limit


def test_more_than_all_may_hold_is_refused_until_somebody_leaves(
    arrays: Arrays, budget: UploadBudget
) -> None:
    content = _npz(arrays)
    kept = [start_reading(content, "mine.npz").result()]
    size = budget.limit - budget.free
    while budget.free >= size:
        kept.append(start_reading(content, "mine.npz").result())
    with pytest.raises(ValueError) as caught:
        start_reading(content, "mine.npz").result()
    line = str(caught.value)
    assert "all visitors' arrays may hold 150,000 together" in line
    assert "heat_core pack" in line
    assert "HEAT_PACKS" in line
    kept.clear()
    assert start_reading(content, "mine.npz").result()


def test_too_many_sets_are_refused_with_the_bound_and_the_way_out(
    arrays: Arrays, budget: UploadBudget
) -> None:
    z = arrays["near_a"][:1]
    many = arrays | {f"far_{i}": z for i in range(300)}
    with pytest.raises(ValueError) as caught:
        start_reading(_npz(many), "mine.npz").result()
    assert str(caught.value).startswith("more than 300 arrays; at most 300 are taken. ")
    assert "HEAT_PACKS" in str(caught.value)


def test_one_upload_is_read_at_a_time(arrays: Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = threading.Lock()

    def read(content: bytes, name: str) -> None:
        assert reading.acquire(blocking=False)
        gc.collect()
        reading.release()

    monkeypatch.setattr(uploads, "_read_upload", read)
    for future in [start_reading(b"", "mine.npz") for _ in range(20)]:
        future.result()
