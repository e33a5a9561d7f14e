"""Rows are coloured and filtered by what is known of them, and by nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from app.feature_map.colours import FIRST_COLOURS, PLAIN, by_metadata
from app.feature_map.rendering import SYMBOLS
from app.pack.layout import Layout
from app.pack.metadata import (
    OTHER,
    UNKNOWN,
    Condition,
    conditions_text,
    metadata_colours,
    metadata_mask,
    parse_conditions,
)
from app.pack.slices import slices, slices_finding, slices_table
from heat_core.features import Features
from heat_core.metadata import Column
from heat_core.pack import NO_EXTRA, Pack
from heat_core.scores import SetScores

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


def test_a_map_has_a_colour_and_a_symbol_a_category_and_a_scale_of_numbers() -> None:
    layout = Layout({name: np.zeros((ROWS, 2), np.float32) for name in ("test", "far_a")}, "pca")
    texts = ["a", ""] * 14 + [f"rare {i:02}" for i in range(12)]
    colours = metadata_colours(_pack(Column.of_texts(texts)), "it", ["test", "far_a"])
    colouring = by_metadata(layout, colours, ["test"])
    assert colouring.colours["test"][:2].tolist() == [len(FIRST_COLOURS), PLAIN]
    assert [SYMBOLS[i] for i in colouring.symbols["test"][:2]] == ["●", "○"]
    assert (colouring.colours["far_a"] == PLAIN).all()
    entries = [text for _, _, text in colouring.entries]
    assert (entries[0], *entries[-2:]) == ("a: 14", "other: 2", "not known: 14")
    assert len({entry[:2] for entry in colouring.entries}) == 13
    assert len(colouring.palette) == len(FIRST_COLOURS) + 12

    numbers = metadata_colours(_pack(Column.of_array(np.arange(ROWS))), "it", ["test", "far_a"])
    scale = by_metadata(layout, numbers, ["test", "far_a"])
    assert (np.diff(scale.colours["test"].astype(int)) >= 0).all()
    assert scale.ends == ("0.39", "38.61")
    assert [text for _, _, text in scale.entries] == [f"not known: {ROWS}"]
    assert scale.background["far_a"].all()


def test_what_is_kept_and_caught_is_counted_by_category() -> None:
    far = Column.of_texts(["a"] * 10 + ["b"] * 30)
    pack = _pack(Column.of_texts(["a"] * 30 + ["b"] * 10), far)
    colours = metadata_colours(pack, "it", ["test", "far_a"])
    scores = SetScores({"test": np.arange(40.0), "far_a": np.arange(40.0)})
    found = slices(colours, scores, 31.5, ["far_a"])
    assert [(each.value, each.kept.count, each.caught.count) for each in found] == [
        ("a", 30, 0),
        ("b", 2, 8),
    ]
    table = slices_table("it", found)
    assert table["ID kept"].tolist() == ["100.0 % (88.4 to 100.0)", "20.0 % (2.5 to 55.6)"]
    assert table["OOD rows"].tolist() == [10, 30]
    finding = slices_finding("it", found).replace("\u00a0", " ")
    assert finding == (
        "it b: 20.0 % of ID kept, 10 rows; of all it is 80.0 %. It is the least of 2, by more than "
        "chance."
    )
    assert list(slices_table("it", slices(colours, scores, 31.5, []))) == [
        "it",
        "ID rows",
        "ID kept",
    ]


def test_numbers_are_sliced_into_ranges_that_hold_every_row_once() -> None:
    values = np.array([0.0, 0, 0, 0, 1, 2, 3, 4, 5, np.nan] * 4)
    colours = metadata_colours(_pack(Column.of_array(values)), "it", ["test"])
    found = slices(colours, SetScores({"test": np.arange(40.0)}), 99.0, [])
    assert [(each.value, each.kept.n) for each in found] == [
        ("0 to below 2", 20),
        ("2 to below 4", 8),
        ("4 to 5", 8),
        ("unknown", 4),
    ]


def test_conditions_go_into_a_link_and_back_and_what_leaves_out_nothing_is_none() -> None:
    colours = metadata_colours(_pack(Column.of_texts(["a", "b", ""] * 13 + ["a"])), "it", ["test"])
    assert colours.counts == {"a": 14, "b": 13, "unknown": 13}
    assert colours.condition({"b", UNKNOWN}) == Condition("it", ("b", UNKNOWN), "b, unknown")
    for wanted in ((), ("a", "b", UNKNOWN)):
        assert colours.condition(wanted) is None
    numbers = metadata_colours(_pack(Column.of_array(np.arange(ROWS))), "it", ["test"])
    assert numbers.condition((0.0, 39.0)) is None
    some = numbers.condition((3.0, 5.0))
    assert some is not None
    assert some.label == "it: 3 to 5"
    assert [each.wanted for each in parse_conditions(conditions_text([some]))] == [(3.0, 5.0)]
    for bad in ("", "[", "3", '["a"]', '[["a"]]', '[["a",3]]', '[["a",["b",3]]]', "[" * 5000):
        assert parse_conditions(bad) == ()
