"""Numbers from links and browsers: what is too large, or no number, breaks no page."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from app.colour_scale import ColourScale
from app.components.detector_lines import clicked_bar, counted_names, released_percent
from app.components.moment_line import released_row
from app.components.scatter_map import parse_drawing, parse_window
from app.components.surfaces import Block, picked_spot
from app.components.threshold_line import released_threshold
from app.incoming import number_within, numbers_within
from tests.app.pages import PAGE_NAMES, app, opened

SHOWN = ("MoG",)
BAD_NUMBERS = (10**400, -(10**400), 1e308, -1e308, math.inf, -math.inf, math.nan)
NO_NUMBERS = ("1", None, True, [], {}, [[1]], {"x": 1})
BAD_TEXTS = ("9" * 400, "-" + "9" * 400, "9" * 5000, "1e308", "1e400", "nan", "-inf", "0x10")
NUMBERS_IN_LINKS = (
    *("seed", "steps", "size", "reach", "x", "y", "zoom", "step"),
    *("keep", "flag", "prevalence", "miss", "alarm", "around", "cut"),
    *("map-page", "line-page", "flips"),
    *("mix", "moment", "length", "every", "shuffle", "calm"),
)
BLOCK = Block(x=(-4, 4), y=(-4, 4), scale=ColourScale(("#000000", "#ffffff"), 0.0, 1.0))

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(BAD_NUMBERS),
    lambda values: st.lists(values, max_size=5) | st.dictionaries(st.text(max_size=3), values),
)


@given(value=anything, low=st.floats(-1e6, 0), high=st.floats(0, 1e6))
def test_a_number_is_in_range_or_not_taken(value: object, low: float, high: float) -> None:
    number = number_within(value, low, high)
    if number is not None:
        assert number == value
        assert low <= number <= high


@pytest.mark.parametrize("value", [*BAD_NUMBERS, *NO_NUMBERS])
def test_what_is_no_number_in_range_is_not_taken(value: object) -> None:
    assert number_within(value, -1e9, 1e9) is None
    assert numbers_within([0, value], -1e9, 1e9) is None


@pytest.mark.parametrize("value", [*BAD_NUMBERS, *NO_NUMBERS])
def test_a_component_passes_over_what_a_browser_makes_up(value: object) -> None:
    drawing = {
        "kind": "lasso",
        "corners": [0.1, 0.1, 0.9, 0.1, 0.5, 0.9],
        "adds": False,
        "reach": 0.01,
    }
    assert parse_drawing(drawing) is not None
    assert parse_drawing(drawing | {"corners": [0.1, 0.1, 0.9, 0.1, 0.5, value]}) is None
    assert parse_drawing(drawing | {"reach": value}) is None
    assert parse_window([0, 0, 1, value]) is None
    assert picked_spot([0, value], BLOCK) is None
    assert picked_spot([value, 0], BLOCK) is None
    assert released_threshold(value, [-5.0, 5.0]) is None
    assert released_row(value, 0, 2000) is None
    assert clicked_bar(["HEAT", value], {"HEAT": 60}) is None
    assert released_percent(value, [50.0, 99.9]) is None
    assert counted_names([value], ["near_a"]) == ()


@given(message=anything)
def test_no_message_of_a_browser_breaks_a_component(message: object) -> None:
    parse_drawing(message)
    parse_window(message)
    picked_spot(message, BLOCK)
    released_threshold(message, [0.0, 1.0])
    released_row(message, 0, 2000)
    clicked_bar(message, {"HEAT": 60})
    clicked_bar([message, 3], {"HEAT": 60})
    released_percent(message, [50.0, 99.9])
    counted_names(message, ["near_a"])


def test_a_bar_is_one_of_the_chart() -> None:
    bars = [clicked_bar(["HEAT", index], {"HEAT": 9}) for index in (-1, 0, 9)]
    assert bars == [None, ("HEAT", 0), None]
    assert clicked_bar(["MoG", 0], {"HEAT": 9}) is None


def _one_widget() -> None:
    import streamlit as st

    from app.incoming import whole_number_input

    st.text(str(whole_number_input("Steps", 1, 2000, 300, 100, "steps")))


@pytest.mark.parametrize("text", [*BAD_TEXTS, "0", "2001"])
def test_a_whole_number_out_of_range_in_a_link_is_the_default(text: str) -> None:
    at = AppTest.from_function(_one_widget)
    at.query_params["steps"] = text
    assert opened(at).text[0].value == "300"


@pytest.mark.parametrize("value", [value for value in BAD_NUMBERS if isinstance(value, float)])
def test_a_whole_number_out_of_range_from_a_browser_is_the_default(value: float) -> None:
    at = opened(AppTest.from_function(_one_widget))
    at.number_input(key="steps").set_value(value)
    assert opened(at).text[0].value == "300"


def test_a_whole_number_in_range_is_taken_from_a_link_and_from_a_browser() -> None:
    at = AppTest.from_function(_one_widget)
    at.query_params["steps"] = "1700"
    assert opened(at).text[0].value == "1700"
    at.number_input(key="steps").set_value(20)
    assert opened(at).text[0].value == "20"


def _one_number() -> None:
    import streamlit as st

    from app.incoming import number_input

    st.text(str(number_input("Cost", 0, 100, 10, 1, "cost")))


@pytest.mark.parametrize("value", [None, *(x for x in BAD_NUMBERS if isinstance(x, float))])
def test_a_number_that_is_cleared_or_out_of_range_is_the_default(value: float | None) -> None:
    at = opened(AppTest.from_function(_one_number))
    at.number_input(key="cost").set_value(value)
    assert opened(at).text[0].value == "10.0"


def test_zero_is_a_number_like_any_other() -> None:
    at = opened(AppTest.from_function(_one_number))
    at.number_input(key="cost").set_value(0.0)
    assert opened(at).text[0].value == "0.0"


def _every_number() -> None:
    import streamlit as st

    from app.landscape.controls import landscape_choice
    from app.monitor.controls import window_input
    from app.pack.controls import share_to_keep_input
    from app.pack.scores import current_share_to_keep
    from app.plane.controls import toy_choice
    from app.threshold_lab.controls import deployment_input, flag_input, nearest_count_input
    from app.toy_lab.controls import chain_settings

    settings = toy_choice(), landscape_choice(4.0), chain_settings()
    shares = share_to_keep_input(), current_share_to_keep(), flag_input()
    st.text(f"{settings} {shares} {deployment_input()} {nearest_count_input()} {window_input()}")


def test_every_number_that_is_cleared_is_its_default() -> None:
    at = opened(AppTest.from_function(_every_number, default_timeout=120))
    defaults = at.text[0].value
    numbers = {str(box.key): float(box.value) for box in at.number_input}
    changed = set()
    for key, number in numbers.items():
        at.number_input(key=key).set_value(0.5 if key in ("size", "knob-lr") else number + 1)
        changed.add(opened(at).text[0].value)
        at.number_input(key=key).set_value(None)
        assert opened(at).text[0].value == defaults, key
    assert len(changed - {defaults}) == len(numbers) > 10


@pytest.mark.parametrize("text", BAD_TEXTS)
@pytest.mark.parametrize("page_name", PAGE_NAMES)
def test_no_number_in_a_link_breaks_a_page(few_detectors: None, page_name: str, text: str) -> None:
    link = dict.fromkeys(NUMBERS_IN_LINKS, text)
    link["window"] = "_".join([text] * 4)
    link["knobs"] = f"w{text}"
    link["beside"] = f"HEAT.modern.{text}"
    link["region"] = f"umap:{text}.0-1.1-2.2"
    link["item"] = f"cifar10/test/{text}"
    opened(app(**link).switch_page(f"{page_name}/page.py"))


def _one_choice() -> None:
    import streamlit as st

    from app.detectors.controls import drawn_group_input
    from app.pack.controls import score_unit_input

    st.text(f"{drawn_group_input(('near',))} {score_unit_input()}")


def test_a_browser_that_chooses_nothing_where_one_is_required_gets_the_default() -> None:
    at = opened(AppTest.from_function(_one_choice))
    for choice in at.button_group:
        choice.set_value(None)
    assert opened(at).text[0].value == "all raw"
