"""What the Feature map's workbench computes: flips, contours, percentiles, tags, exports."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from app.feature_map.before_after import BOTTOM, LEFT, RIGHT, TOP, before_after_layout, stretched
from app.feature_map.colours import FIRST_COLOURS, PLAIN, by_flip
from app.feature_map.contours import contour_pieces, density_contours
from app.feature_map.rendering import SYMBOLS
from app.pack.export import WRITERS, export_table
from app.pack.items import LabelledItems, find_given_id, given_id, items_of, parse_parts
from app.pack.layout import Layout
from app.pack.tags import tags_text
from heat_core.metadata import Column
from heat_core.pack import Pack, pack_from_arrays

NAMES = {"train": 3, "test": 4, "far_d": 2}


@pytest.fixture
def layout() -> Layout:
    return Layout({name: np.zeros((rows, 2), np.float32) for name, rows in NAMES.items()}, "pca")


def test_flips_have_a_colour_a_symbol_and_a_count_each(layout: Layout) -> None:
    first = np.array([False, False, True, True])
    second = np.array([False, True, False, True])
    rejections = {"test": (first, second), "far_d": (first[:2], second[:2])}
    colouring = by_flip(layout, rejections, ("MoG", "HEAT"), ("train", "test"))
    assert colouring.colours["test"].tolist() == [len(FIRST_COLOURS) + i for i in range(4)]
    assert [SYMBOLS[i] for i in colouring.symbols["test"]] == ["●", "▲", "▼", "●"]
    assert colouring.colours["train"].tolist() == [PLAIN] * 3
    assert [text for _, _, text in colouring.entries[:4]] == [
        "MoG accepts, HEAT rejects: 1",
        "MoG rejects, HEAT accepts: 1",
        "both accept: 1",
        "both reject: 1",
    ]
    points = colouring.points(layout, ("test", "far_d"), None)
    assert points.faint.tolist() == [True, False, False, True, True, False]  # flips lie above


def test_a_contour_goes_around_what_is_at_least_its_level() -> None:
    values = np.zeros((3, 3))
    values[1, 1] = 2.0
    pieces = contour_pieces(values, 1.0)
    ends = {tuple(end) for piece in pieces for end in (piece[:2], piece[2:])}
    assert ends == {(1.0, 0.5), (1.5, 1.0), (1.0, 1.5), (0.5, 1.0)}
    assert len(pieces) == 4
    for level in (3.0, 0.0):  # nothing within, and everything
        assert contour_pieces(values, level).shape == (0, 4)


def test_a_wider_share_has_a_wider_contour() -> None:
    points = 0.5 + 0.1 * np.random.default_rng(0).normal(size=(4000, 2))
    half, most = (
        np.hypot(*(pieces[:, :2] - 0.5).T).mean() for pieces in density_contours(points, (0.5, 0.9))
    )
    assert half == pytest.approx(0.1 * np.sqrt(2 * np.log(2)), rel=0.1)  # of a Gaussian in 2D
    assert most == pytest.approx(0.1 * np.sqrt(2 * np.log(10)), rel=0.1)


def test_rows_lie_by_their_percentiles_before_and_after() -> None:
    before = {"test": np.arange(99.0), "far_d": np.array([-1.0, 98.0])}
    after = {"test": 2 * np.arange(99.0), "far_d": np.array([500.0, 97.0]), "val": np.ones(1)}
    layout = before_after_layout(before, after, "one / other")
    assert layout.coordinates["far_d"].tolist() == [[0.0, 1.0], [1.0, pytest.approx(49 / 99)]]
    assert set(layout.positions) == {"test", "far_d"}
    np.testing.assert_allclose(layout.positions["far_d"][0], [LEFT, TOP], atol=1e-6)
    half_up = BOTTOM + float(stretched(np.array(49 / 99), 99)) * (TOP - BOTTOM)
    np.testing.assert_allclose(layout.positions["far_d"][1], [RIGHT, half_up], atol=1e-6)
    assert layout.ticks == (0.0, 0.5, 0.9, 1.0)  # 99 rows do not tell 99 % from more
    np.testing.assert_allclose(stretched(np.array([0.0, 0.909090909, 1.0]), 99), [0, 0.5, 1])


@pytest.fixture
def pack(arrays: dict[str, np.ndarray]) -> Pack:
    plain = pack_from_arrays(arrays)
    return replace(
        plain, test=replace(plain.test, index=torch.arange(60) * 2, source="cifar10/test")
    )


def test_what_is_exported_has_ids_classes_tags_and_scores(pack: Pack) -> None:
    masks = {"test": np.isin(np.arange(60), [1, 5]), "far_d": np.isin(np.arange(50), [7])}
    scores = {"MoG": {"test": np.arange(60.0), "far_d": np.arange(50.0) / 3}, "SSD": {}}
    tags = (
        LabelledItems(
            "odd", "odd", items_of(pack, {"test": np.array([5]), "far_d": np.array([7])})
        ),
        LabelledItems("far", "far", items_of(pack, {"far_d": np.array([7])})),
    )
    table = export_table(pack, masks, scores, tags)
    assert pack.test.y is not None
    classes = [pack.class_name(int(pack.test.y[row])) for row in (1, 5)]
    assert table["id"].tolist() == ["cifar10/test/2", "cifar10/test/10", "far_d/7"]
    assert table["set"].tolist() == ["test", "test", "far_d"]
    assert table["class"].tolist() == [*classes, ""]
    assert table["tags"].tolist() == ["", "odd", "odd; far"]
    assert table["MoG"].tolist() == [1.0, 5.0, 7 / 3]
    assert table["SSD"].isna().tolist() == [True] * 3
    for read, name in ((pd.read_csv, "CSV"), (pd.read_parquet, "Parquet")):
        written = read(io.BytesIO(WRITERS[name](table)))
        assert written["MoG"].tolist() == [1.0, 5.0, 7 / 3]
        assert written["id"].tolist() == table["id"].tolist()
    assert list(export_table(pack, {}, scores)) == ["id", "set", "class", "tags", "MoG", "SSD"]


def test_what_is_exported_has_the_data_s_own_ids_and_metadata(pack: Pack) -> None:
    metadata = {
        "id": Column.of_array(np.arange(60) + 1234500),
        "age": Column.of_array(np.arange(60) / 2),
        "set": Column.of_texts("ab" * 30),
    }
    known = replace(pack, test=replace(pack.test, metadata=metadata))
    masks = {"test": np.isin(np.arange(60), [1, 5]), "far_d": np.isin(np.arange(50), [7])}
    table = export_table(known, masks, {"MoG": {"test": np.arange(60.0)}})
    assert list(table) == ["id", "set", "class", "tags", "given_id", "age", "meta_set", "MoG"]
    assert table["given_id"].tolist()[:2] == [1234501, 1234505]
    assert table["age"].tolist()[:2] == [0.5, 2.5]
    assert table["meta_set"].tolist() == ["b", "b", ""]
    assert given_id(known.test, 5) == "1234505"
    assert find_given_id(known, "1234505") == ("test", 5)
    assert find_given_id(known, "5") is None


def test_tags_go_into_a_link_and_back(pack: Pack) -> None:
    tag = LabelledItems("two words", "two words", items_of(pack, {"test": np.array([1, 5])}))
    (back,) = parse_parts(tags_text((tag,)))
    assert back.label == "two words"
    assert back.items["cifar10/test"].tolist() == [2, 10]
    many = LabelledItems(
        "all", "all", {"x": np.sort(np.random.default_rng(0).permutation(10**6)[:50_000])}
    )
    assert tags_text((many,)) == ""
