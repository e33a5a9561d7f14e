"""Selected items: ids and rows, parts that narrow each other down, the chips, the link."""

from __future__ import annotations

import base64
import json
import re
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from app.pack.items import (
    MAX_PARTS,
    LabelledItems,
    Selection,
    find_item,
    item_id,
    items_of,
    mask_in,
    masks_in,
    parse_parts,
    parts_text,
)
from heat_core.features import Features
from heat_core.pack import ExtraID, Pack, pack_from_arrays
from tests.app.pages import opened


@pytest.fixture
def pack(arrays) -> Pack:
    """A pack whose test set and near_a know their images.

    Its destroyed images name those that they were made of.
    """
    plain = pack_from_arrays(arrays)
    test = replace(plain.test, index=torch.arange(60).flip(0) * 3, source="cifar10/test")
    near = replace(plain.ood["near", "a"], index=torch.arange(40) + 7, source="cifar100/test")
    train = replace(plain.train, index=torch.arange(240), source="cifar10/train")
    family = replace(
        plain.train.take(torch.arange(20)), index=torch.arange(20), source="cifar10/train"
    )
    extra = ExtraID(pseudo={"blur": family})
    return replace(
        plain, train=train, test=test, ood={**plain.ood, ("near", "a"): near}, extra=extra
    )


def test_an_item_is_named_by_its_image_and_found_again(pack):
    assert item_id(pack.test, "test", 0) == "cifar10/test/177"
    assert find_item(pack, "cifar10/test/177") == ("test", 0)
    assert find_item(pack, " cifar10/test/177\n") == ("test", 0)
    assert item_id(pack.ood["far", "d"], "far_d", 4) == "far_d/4"
    assert find_item(pack, "far_d/4") == ("far_d", 4)
    assert item_id(pack.extra.pseudo["blur"], "pseudo_blur", 3) == "pseudo_blur/3"  # not its origin
    assert find_item(pack, "pseudo_blur/3") == ("pseudo_blur", 3)
    assert find_item(pack, "cifar10/train/3") == ("train", 3)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "cifar10/test/1",
        "cifar10/test",
        "far_d/50",
        "far_d/-1",
        "far_d/²",
        "x/1",
        "far_d/" + "9" * 40,
    ],
)
def test_an_item_that_is_not_there_is_not_found(pack, wrong):
    assert find_item(pack, wrong) is None


def test_rows_and_masks_go_to_items_and_back(pack):
    generator = np.random.default_rng(0)
    masks = {
        name: generator.random(len(features)) < 0.4
        for name, features in pack.sets()
        if not name.startswith("pseudo")
    }
    items = items_of(pack, masks)
    assert set(items) == {
        "cifar10/train",
        "cifar10/test",
        "cifar100/test",
        "near_b",
        "mid_c",
        "far_d",
    }
    assert all((np.diff(indices) > 0).all() for indices in items.values())
    back = masks_in(pack, items)
    assert set(back) == set(masks)
    assert all((back[name] == mask).all() for name, mask in masks.items())
    rows = {name: np.flatnonzero(mask) for name, mask in masks.items()}
    assert all((items_of(pack, rows)[source] == indices).all() for source, indices in items.items())
    assert items_of(pack, {"test": np.zeros(60, bool)}) == {}


def test_two_packs_that_order_their_rows_otherwise_mean_the_same_items(pack):
    shuffled = replace(
        pack, test=pack.test.take(torch.randperm(60, generator=torch.Generator().manual_seed(1)))
    )
    items = items_of(pack, {"test": np.arange(5)})
    mask = mask_in(shuffled.test, "test", items)
    assert {item_id(shuffled.test, "test", row) for row in np.flatnonzero(mask)} == {
        item_id(pack.test, "test", row) for row in range(5)
    }


indices = st.lists(st.integers(0, 30), max_size=20).map(
    lambda numbers: np.unique(np.array(numbers, np.int64))
)
parts = st.dictionaries(st.sampled_from(["a/test", "b/test", "c"]), indices.filter(len), max_size=3)


@given(parts, parts, parts)
def test_parts_narrow_each_other_down(first, second, third):
    selection = (
        Selection()
        .with_part(LabelledItems("map", "one", first))
        .with_part(LabelledItems("line", "two", second))
    )

    def pairs(items):
        return {(source, int(index)) for source, indices in items.items() for index in indices}

    assert pairs(selection.items) == pairs(first) & pairs(second)
    assert len(selection) == len(pairs(first) & pairs(second))
    assert pairs(selection.without("line").items) == pairs(first)
    replaced = selection.with_part(LabelledItems("map", "three", third))
    assert [part.label for part in replaced.parts] == ["three", "two"]
    assert pairs(replaced.items) == pairs(second) & pairs(third)
    assert replaced.part("map").label == "three"
    assert replaced.part("bar") is None
    assert not Selection()
    assert selection


def test_a_million_items_are_found_at_once():
    rows = 1_000_000
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(0))
    features = Features(torch.ones(rows, 1), index=order, source="big/test")
    mask = mask_in(features, "test", {"big/test": np.arange(0, rows, 2)})
    assert (mask == (order.numpy() % 2 == 0)).all()


def test_chips_show_the_parts_and_go_one_by_one_or_all_at_once():
    script = AppTest.from_function(_chips)
    script.session_state["selection"] = (
        Selection()
        .with_part(LabelledItems("map", "Lasso *on* the map", {"a/test": np.arange(5)}))
        .with_part(LabelledItems("line", "At the line", {"a/test": np.arange(3, 9)}))
    )
    opened(script)
    assert [button.label for button in script.button] == [
        r"Lasso \*on\* the map: 5",
        "At the line: 6",
        "Clear the selection",
    ]
    assert script.caption[0].value == "Selected: 2"
    script.button(key="chip-line").click()
    opened(script)
    assert script.caption[0].value == "Selected: 5"
    script.button(key="clear-selection").click()
    opened(script)
    assert not script.button
    assert not script.session_state["selection"]


def _chips() -> None:
    from app.pack.controls import selection_chips

    selection_chips()


# -- in a link


@given(
    st.lists(
        st.tuples(
            st.text(max_size=20),
            st.dictionaries(
                st.text(min_size=1, max_size=20),
                st.sets(st.integers(0, 70_000), min_size=1),
                max_size=3,
            ),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_parts_go_into_a_link_and_back(labels_and_items):
    parts = [
        LabelledItems(
            f"p{i}", label, {source: np.array(sorted(rows)) for source, rows in items.items()}
        )
        for i, (label, items) in enumerate(labels_and_items)
    ]
    text = parts_text(parts)
    assert re.fullmatch(r"[\w-]+", text, re.ASCII)
    back = parse_parts(text)
    assert [(part.origin, part.label) for part in back] == [
        (part.origin, part.label) for part in parts
    ]
    for part, parsed in zip(parts, back, strict=True):
        assert {source: rows.tolist() for source, rows in parsed.items.items()} == {
            s: r.tolist() for s, r in part.items.items()
        }


def test_half_of_ten_thousand_fits_into_a_link_and_what_does_not_is_left_out():
    rows = np.flatnonzero(np.random.default_rng(0).random(10_000) < 0.5)
    assert 0 < len(parts_text([LabelledItems("bar", "A bar", {"cifar10/test": rows})])) < 4000
    wide = np.cumsum(np.random.default_rng(0).integers(1, 2**16, 10_000))
    assert parts_text([LabelledItems("bar", "A bar", {"cifar10/test": wide})]) == ""
    assert parts_text([]) == ""


@given(
    st.one_of(
        st.text(max_size=200),
        st.binary(max_size=200).map(lambda raw: base64.urlsafe_b64encode(raw).decode()),
    )
)
def test_what_is_no_selection_is_passed_over(text):
    assert parse_parts(text) == ()


@pytest.mark.parametrize(
    "head",
    [
        [["a", "b", [["s", 3, 1]]]],
        [["a", "b", [["s", 2, 3]]]],
        [["a", "b", [["s", -1, 1]]]],
        [["a", "b", [["s", 2.0, 1]]]],
        [["a", "b"]],
        [1],
        {"a": 1},
        [["a", "b", [["s", 2, 1]]], ["c", "d", [["s", 1, 1]]]],
        [["a", "b", [["s", 0, 1]]]],
    ],
)
def test_a_selection_that_does_not_add_up_is_passed_over(head):
    packed = zlib.compress(json.dumps(head).encode() + b"\n\x01\x02")
    assert parse_parts(base64.urlsafe_b64encode(packed).decode()) == ()


def test_rows_that_do_not_rise_and_a_bomb_are_passed_over():
    for content in (b'[["a", "b", [["s", 2, 1]]]]\n\x01\x00', b"[" * 10**6):
        assert parse_parts(base64.urlsafe_b64encode(zlib.compress(content)).decode()) == ()


def test_a_link_of_thousands_of_parts_selects_nothing() -> None:
    """Each part would be a button on the page."""
    one = {"test": np.array([1])}
    parts = [LabelledItems(f"bar-{i}", "a", one) for i in range(2003)]
    fitting = parts[:MAX_PARTS]
    assert [part.origin for part in parse_parts(parts_text(fitting))] == [
        part.origin for part in fitting
    ]
    assert parts_text(parts) == ""
    header = [[part.origin, part.label, [["test", 1, 1]]] for part in parts]
    packed = zlib.compress(json.dumps(header).encode() + b"\n" + b"\x01" * len(parts))
    assert parse_parts(base64.urlsafe_b64encode(packed).decode()) == ()
