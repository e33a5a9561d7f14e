"""Rows are coloured and filtered by what is known of them, and by nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from app.pack.metadata import OTHER, UNKNOWN, metadata_colours, metadata_mask
from heat_core.features import Features
from heat_core.metadata import Column
from heat_core.pack import NO_EXTRA, Pack

ROWS = 40


def _pack(column: Column, far: Column | None = None) -> Pack:
    z, y = torch.randn(ROWS, 2, generator=torch.Generator().manual_seed(0)), torch.arange(ROWS) % 2
    far_features = Features(z + 9, metadata={} if far is None else {"it": far})
    return Pack(
        Features(z, y),
        Features(z, metadata={"it": column}),
        {("far", "a"): far_features},
        NO_EXTRA,
        {},
    )


def test_texts_are_categories_the_most_frequent_first_and_the_rare_ones_share_one() -> None:
    texts = ["b"] * 10 + ["a"] * 5 + [""] * 3 + [f"rare {i:02}" for i in range(22)]
    pack = _pack(Column.of_texts(texts))
    colours = metadata_colours(pack, "it", ["test", "far_a"])
    assert colours.categories[:3] == ("b", "a", "rare 00")
    assert colours.categories[-1] == OTHER
    assert len(colours.categories) == 12
    test = colours.values["test"]
    assert test[:15].tolist() == [0] * 10 + [1] * 5
    assert np.isnan(test[15:18]).all()
    assert (test[18 + 9 :] == 11).all()
    assert np.isnan(colours.values["far_a"]).all()  # it has no such column
    assert metadata_mask(colours, {"b", "rare 00"})["test"].sum() == 11
    assert metadata_mask(colours, {OTHER})["test"].sum() == 13
    unknown = metadata_mask(colours, {UNKNOWN})
    assert (unknown["test"].sum(), unknown["far_a"].sum()) == (3, ROWS)
    assert not metadata_mask(colours, ())["test"].any()


def test_numbers_keep_their_value_and_are_filtered_by_a_range() -> None:
    numbers = np.arange(ROWS, dtype=float)
    numbers[3] = np.nan
    pack = _pack(Column.of_array(numbers), far=Column.of_array(np.arange(ROWS) + 100))
    colours = metadata_colours(pack, "it", ["test", "far_a"])
    np.testing.assert_array_equal(colours.values["test"], numbers)
    assert colours.range == (0, 139)
    assert not colours.categories
    masks = metadata_mask(colours, (2, 100))
    assert np.flatnonzero(masks["test"]).tolist() == [2, *range(4, ROWS)]
    assert np.flatnonzero(masks["far_a"]).tolist() == [0]


@pytest.mark.parametrize("days", [3, ROWS])
def test_many_dates_are_numbers_and_a_few_are_categories(days: int) -> None:
    texts = [f"2026-01-{1 + i % days % 28:02}T{i % days // 28:02}:00" for i in range(ROWS)]
    colours = metadata_colours(_pack(Column.of_texts(texts)), "it", ["test"])
    assert colours.is_date == (days > 3)
    if colours.is_date:
        assert colours.values["test"][1] - colours.values["test"][0] == 1
        assert colours.range[0] == 20454  # days from 1970 to 2026
    else:
        assert sorted(colours.categories) == sorted(set(texts))


def test_of_no_set_with_the_column_nothing_is_known() -> None:
    colours = metadata_colours(_pack(Column.of_texts(["a"] * ROWS)), "it", ["train"])
    assert np.isnan(colours.values["train"]).all()
    assert np.isnan(colours.range).all()
