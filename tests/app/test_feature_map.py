"""The Feature map: what a lasso holds, how points are drawn, and the page in every state."""

from __future__ import annotations

import io
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from app.components.scatter_map import (
    SMALLEST_WINDOW,
    WHOLE,
    Drawing,
    parse_drawing,
    parse_window,
)
from app.feature_map import pair_panel, scatter
from app.feature_map.colours import FAINT, PLAIN, by_class, by_set, by_value
from app.feature_map.controls import COLOURINGS
from app.feature_map.rendering import SYMBOLS, Points, render_points
from app.feature_map.tables import (
    sampled_sentence,
    selected_finding,
    selected_table,
    trust_sentence,
)
from app.job import Job
from app.pack.data import PackData, current_pack_data
from app.pack.items import LabelledItems, Selection, items_of
from app.pack.layout import (
    MAP_SIZE,
    RESOLUTION,
    Layout,
    Region,
    corners_text,
    layout_of,
    nearest_point,
    parse_corners,
    parse_region,
    rows_in_polygons,
    rows_in_region,
)
from app.pack.scores import ensure_scoring_job
from app.pack.tables import row_counts
from app.pack.work import DetectorScores
from heat_core.explain import ScoreTerms
from heat_core.metadata import Column
from heat_core.pack import Pack, pack_from_arrays, write_pack
from heat_core.polygons import points_in_polygon
from heat_core.projection import lay_out
from tests.app.pages import PAGE_NAMES, app, link, offered, opened, press, text, until, wait

pytestmark = pytest.mark.usefixtures("fresh_server")

SQUARE = [(0.2, 0.2), (0.6, 0.2), (0.6, 0.7), (0.2, 0.7)]
SETS = ("train", "test", "near_a", "near_b", "mid_c", "far_d")


@pytest.fixture
def pack(arrays) -> Pack:
    """A pack with a map, whose test images are known."""
    plain = pack_from_arrays(arrays)
    plain = replace(
        plain, test=replace(plain.test, index=torch.arange(60) * 2, source="cifar10/test")
    )
    return lay_out(replace(plain, card={"title": "small"}), "pca")


@pytest.fixture
def layout(pack) -> Layout:
    layout = layout_of(pack)
    assert layout is not None
    return layout


# -- regions ---------------------------------------------------------------------------------------


def crossings(polygon, point) -> bool:
    """Returns whether a point is within a polygon, edge by edge: the even-odd rule of the books."""
    inside, (x, y) = False, point
    for (x0, y0), (x1, y1) in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
        if (y0 > y) != (y1 > y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0):
            inside = not inside
    return inside


corner = st.tuples(*[st.floats(0, 1, width=16)] * 2)


@given(st.lists(corner, min_size=3, max_size=12), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_a_lasso_holds_what_the_even_odd_rule_says(polygon, seed):
    points = np.random.default_rng(seed).uniform(-0.1, 1.1, (200, 2)).astype(np.float32)
    wanted = [crossings(polygon, point) for point in points.astype(float).tolist()]
    assert points_in_polygon(polygon, points).tolist() == wanted


def test_a_lasso_that_crosses_itself_has_a_hole():
    star = [(0.5 + 0.4 * np.sin(a), 0.5 - 0.4 * np.cos(a)) for a in 4 * np.pi / 5 * np.arange(5)]
    centre, arm, outside = [0.5, 0.5], [0.5, 0.2], [0.1, 0.1]
    assert points_in_polygon(star, np.array([centre, arm, outside])).tolist() == [
        False,
        True,
        False,
    ]


def test_a_million_points_are_few_enough():
    points = np.random.default_rng(0).uniform(0, 1, (1_000_000, 2)).astype(np.float32)
    circle = [
        (0.5 + 0.3 * np.cos(a), 0.5 + 0.3 * np.sin(a))
        for a in np.linspace(0, 2 * np.pi, 128, endpoint=False)
    ]
    assert points_in_polygon(circle, points).mean() == pytest.approx(np.pi * 0.09, abs=0.002)


def test_hidden_sets_are_not_picked_and_shapes_add_up(layout):
    sets = ("test", "far_d")
    masks = rows_in_polygons(layout, sets, [SQUARE])
    assert set(masks) <= set(sets)
    assert masks["test"].sum() == points_in_polygon(SQUARE, layout.positions["test"]).sum() > 0
    left, right = (
        [(x / 2 + shift, y) for x, y in [(0, 0), (1, 0), (1, 1), (0, 1)]] for shift in (0.0, 0.5)
    )
    masks = rows_in_polygons(layout, SETS, [left, right])
    assert sum(int(mask.sum()) for mask in masks.values()) == sum(
        map(len, layout.coordinates.values())
    )
    assert rows_in_polygons(layout, (), [SQUARE]) == {}


@given(st.lists(st.lists(corner, min_size=3, max_size=20), min_size=1, max_size=3))
def test_regions_go_into_a_link_and_back(polygons):
    back = parse_corners(corners_text(polygons))
    assert [len(polygon) for polygon in back] == [len(polygon) for polygon in polygons]
    assert np.allclose(np.concatenate(back), np.concatenate(polygons), atol=0.5 / RESOLUTION + 1e-9)


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "1.2",
        "1.2-3.4",
        "1.2-3.4-5",
        "a.b-c.d-e.f",
        "1.2-3.4-5.6_",
        "1.2.3-1.2-1.2",
        "9" * 99_999,
        f"{'9' * 400}.1-1.2-3.4",
        "+1.2-3.4-5.6",
        "١.2-3.4-5.6",
    ],
)
def test_a_region_that_is_none_is_passed_over(bad):
    assert parse_corners(bad) == []
    assert parse_region(f"umap:{bad}") is None


@pytest.mark.parametrize("sets", [None, (), ("test", "far_d")])
def test_a_region_says_which_sets_were_shown(layout, sets):
    region = Region("umap", [SQUARE], sets)
    assert parse_region(region.text) == region
    expected = rows_in_polygons(layout, SETS if sets is None else sets, [SQUARE])
    assert expected or sets == ()
    assert {name: mask.tolist() for name, mask in rows_in_region(layout, region).items()} == {
        name: mask.tolist() for name, mask in expected.items()
    }


def test_the_nearest_point_that_is_shown_is_found(layout):
    x, y = layout.positions["far_d"][7].tolist()
    assert nearest_point(layout, ("far_d",), (x, y), 0.01) == ("far_d", 7)
    name, row = nearest_point(layout, ("test", "near_b"), (x, y), 2.0)
    assert name in ("test", "near_b")
    offsets = np.concatenate([layout.positions[n] - (x, y) for n in ("test", "near_b")]) * (
        1,
        MAP_SIZE[1] / MAP_SIZE[0],
    )
    nearest = (layout.positions[name][row] - (x, y)) * (1, MAP_SIZE[1] / MAP_SIZE[0])
    assert (nearest**2).sum() == pytest.approx((offsets**2).sum(1).min())
    assert nearest_point(layout, SETS, (3.0, 3.0), 0.01) is None
    assert nearest_point(layout, (), (0.5, 0.5), 1.0) is None


def test_all_points_lie_on_the_picture_in_one_scale(layout):
    positions = np.concatenate(list(layout.positions.values()))
    coordinates = np.concatenate(list(layout.coordinates.values()))
    assert positions.min() >= 0.01
    assert positions.max() <= 0.99
    pixels = positions * MAP_SIZE
    scales = [
        np.linalg.norm(pixels[i] - pixels[j]) / np.linalg.norm(coordinates[i] - coordinates[j])
        for i, j in ((0, 5), (9, 80))
    ]
    assert scales[0] == pytest.approx(scales[1], rel=1e-3)
    assert (
        np.diff(pixels[[0, 5], 1]) * np.diff(coordinates[[0, 5], 1]) < 0
    ).all()  # up on the map is up on the picture


def test_a_single_position_still_makes_a_picture():
    layout = Layout({"test": np.ones((4, 2), np.float32)}, "pca")
    assert np.allclose(layout.positions["test"], 0.5)


def test_a_pack_without_a_map_has_none(arrays, pack):
    assert layout_of(pack_from_arrays(arrays)) is None
    half = replace(
        pack,
        test=replace(pack.test, views={k: v for k, v in pack.test.views.items() if k != "map"}),
    )
    assert layout_of(half) is None


# -- the picture -----------------------------------------------------------------------------------


def painted(points: Points, window=WHOLE, colours: int = 4) -> np.ndarray:
    palette = np.array([[0, 0, 0, 0], *([50 * i, 0, 0, 255] for i in range(1, colours))], np.uint8)
    with Image.open(io.BytesIO(render_points(points, palette, window))) as image:
        return np.asarray(image.convert("RGBA"))


def dots(positions, colours, faint=None, symbol=0) -> Points:
    n = len(positions)
    faint = np.zeros(n, bool) if faint is None else np.array(faint)
    return Points(
        np.array(positions, np.float32),
        np.array(colours, np.uint8),
        np.full(n, symbol, np.uint8),
        faint,
    )


def test_points_are_painted_where_they_are_in_their_colour():
    image = painted(dots([(0.25, 0.5), (0.75, 0.25)], [1, 3]))
    assert image.shape == (MAP_SIZE[1], MAP_SIZE[0], 4)
    assert tuple(image[MAP_SIZE[1] // 2, MAP_SIZE[0] // 4]) == (50, 0, 0, 255)
    assert tuple(image[MAP_SIZE[1] // 4, 3 * MAP_SIZE[0] // 4]) == (150, 0, 0, 255)
    assert (image[..., 3] > 0).mean() < 0.001


def test_a_window_shows_its_part_alone():
    image = painted(dots([(0.25, 0.5), (0.75, 0.25)], [1, 3]), (0.5, 0.0, 1.0, 0.5))
    assert tuple(image[MAP_SIZE[1] // 2, MAP_SIZE[0] // 2]) == (150, 0, 0, 255)
    assert set(np.unique(image[..., 0])) == {0, 150}


def test_what_is_not_selected_lies_below():
    for faint in ([False, True], [True, False]):
        image = painted(dots([(0.5, 0.5), (0.5, 0.5)], [1, 2], faint))
        assert image[MAP_SIZE[1] // 2, MAP_SIZE[0] // 2, 0] == (50 if faint[1] else 100)


def test_no_set_always_covers_the_other():
    positions = np.random.default_rng(0).uniform(0.45, 0.55, (4000, 2))
    image = painted(dots(positions, np.repeat([1, 2], 2000)))
    counts = np.bincount(image[image[..., 3] > 0][:, 0] // 50, minlength=3)
    assert 0.4 < counts[1] / (counts[1] + counts[2]) < 0.6


def test_symbols_differ_and_none_vanishes():
    for count in (1, 40_000):  # large, and a pixel each
        positions = np.full((count, 2), 0.5) + np.random.default_rng(0).uniform(
            -0.4, 0.4, (count, 2)
        ) * (count > 1)
        images = [
            painted(dots(positions, np.ones(count), symbol=symbol))[..., 3] > 0
            for symbol in range(len(SYMBOLS))
        ]
        assert all(image.any() for image in images)
        if count == 1:
            assert len({image.tobytes() for image in images}) == len(SYMBOLS)


def test_points_at_the_edge_and_beyond_are_no_trouble():
    image = painted(dots([(0, 0), (1, 1), (-0.2, 0.5), (1.2, 0.5)], [1, 1, 2, 2]))
    assert set(np.unique(image[..., 0])) == {0, 50}
    assert not painted(dots(np.zeros((0, 2)), [])).any()


# -- colours ---------------------------------------------------------------------------------------


def test_sets_and_classes_have_a_colour_and_a_shape_of_their_own(pack, layout):
    sets = by_set(pack, layout, ("test", "far_d"))
    assert [entry[2] for entry in sets.entries] == ["test", "far_d"]
    looks = {
        (tuple(sets.palette[sets.colours[name][0]]), int(sets.symbols[name][0]))
        for name in layout.coordinates
    }
    assert len(looks) == len(layout.coordinates)
    shades = [tuple(sets.palette[sets.colours[name][0]]) for name in ("near_a", "near_b")]
    assert shades[0] != shades[1]
    classes = by_class(pack, layout)
    assert len(classes.entries) == 5  # four classes, and none
    assert set(classes.colours["far_d"]) == {PLAIN}
    assert pack.test.y is not None
    for label in range(4):
        rows = (pack.test.y == label).numpy()
        assert (
            len(set(classes.colours["test"][rows])) == len(set(classes.symbols["test"][rows])) == 1
        )
    assert len(set(classes.colours["test"])) == 4
    assert set(classes.names) == {"0", "1", "2", "3"}


def test_a_correction_is_coloured_around_zero(layout):
    values = {"test": np.linspace(-1, 3, 60), "far_d": np.full(50, 0.0)}
    colouring = by_value(layout, values, "E", signed=True)
    low, high = colouring.ends
    assert float(low) == -float(high)
    grey = colouring.palette[colouring.colours["far_d"][0]]
    assert abs(int(grey[0]) - int(grey[2])) < 20  # neither blue nor orange
    up, down = (
        colouring.palette[colouring.colours["test"][-1]],
        colouring.palette[colouring.colours["test"][0]],
    )
    assert up[0] > up[2]
    assert down[2] > down[0]
    assert set(colouring.colours["train"]) == {PLAIN}


def test_points_that_are_not_selected_are_faint(pack, layout):
    colouring = by_set(pack, layout, SETS)
    mask = np.arange(60) < 5
    points = colouring.points(layout, ("test", "far_d"), {"test": mask})
    assert (~points.faint).sum() == 5
    assert set(points.colours[points.faint]) == {FAINT}
    assert not colouring.points(layout, ("test",), None).faint.any()
    assert len(colouring.points(layout, (), None)) == 0


# -- what a browser says ---------------------------------------------------------------------------


def test_what_is_drawn_is_read_and_nonsense_is_passed_over():
    lasso = parse_drawing(
        {"kind": "lasso", "corners": [0, 0, 1, 0, 1, 1], "adds": True, "reach": 0.01}
    )
    assert lasso.corners == ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0))
    assert lasso.adds
    assert (
        parse_drawing({"kind": "spot", "corners": [0.5, 0.5], "adds": False, "reach": 0.01}).kind
        == "spot"
    )
    good = {"kind": "lasso", "corners": [0, 0, 1, 0, 1, 1], "adds": False, "reach": 0.01}
    for wrong in (
        None,
        "x",
        {},
        {**good, "kind": "page"},
        {**good, "corners": [0, 0, 1]},
        {**good, "corners": "0011"},
        {**good, "reach": None},
        {**good, "corners": [0, 0, 1, float("nan"), 1, 1]},
        {**good, "corners": [0.0, 0.0] * 500},
        {**good, "kind": "spot"},
    ):
        assert parse_drawing(wrong) is None


def test_windows_are_squares_of_the_picture():
    assert parse_window([0.25, 0.5, 0.5, 0.75]) == (0.25, 0.5, 0.5, 0.75)
    assert parse_window(list(WHOLE)) == WHOLE
    for wrong in (
        None,
        [0, 0, 1],
        [0, 0, 2, 2],
        [0.5, 0.5, 0.4, 0.4],
        [0, 0, 0.5, 0.9],
        [0, 0, SMALLEST_WINDOW / 2, SMALLEST_WINDOW / 2],
        ["a"] * 4,
    ):
        assert parse_window(wrong) is None


# -- sentences -------------------------------------------------------------------------------------


def test_findings_say_what_was_found(pack):
    masks = {"test": np.arange(60) < 47, "far_d": np.zeros(50, bool)}
    titles = {"test": "T", "far_d": "F"}
    assert selected_finding(masks, titles) == "47 selected, all of them T."
    masks["far_d"][:3] = True
    assert selected_finding(masks, titles) == "50 selected, 94\u00a0% of them T."
    table = selected_table(masks, titles, {"test": np.arange(60.0)}, 22.5)
    assert table.iloc[0].tolist() == ["T", "47 of 60", "78.3 %", "51.1 %"]
    assert table.iloc[1].tolist() == ["F", "3 of 50", "6.0 %", "–"]
    assert "far apart" in trust_sentence("pca", 0.6)
    assert "are near in feature space" in trust_sentence("umap", 0.97)
    sampled = replace(pack, card={"sets": {"train": {"moments_of": 4500}}})
    assert sampled_sentence(sampled) == "The training images are a sample, 240 of 4,500."
    assert sampled_sentence(pack) == ""


def test_none_is_left_out_only_where_no_set_to_test_on_is_a_sample(pack):
    assert row_counts(pack) == "240 training rows, 210 to test on, none left out"
    for name, wanted in (
        ("train", "240 of 5,000 training rows, 210 to test on, none left out"),
        ("test", "240 training rows, 210 of 5,150 to test on"),
        ("near_a", "240 training rows, 210 of 5,170 to test on"),
    ):
        sampled = replace(pack, card={**pack.card, "sets": {name: {"moments_of": 5000}}})
        assert row_counts(sampled) == wanted


# -- the page --------------------------------------------------------------------------------------


def frames(pack: Pack, *names: str) -> list[DetectorScores]:
    """Returns scores of a kind: the first feature, of HEAT with its terms."""
    sets = {name: f.z[:, 0].double().numpy() for name, f in pack.sets() if name != "train"}
    terms = {name: np.stack([2 * values, -values], 1) for name, values in sets.items()}
    heat = DetectorScores(
        "HEAT", sets, terms=ScoreTerms(("prior", "correction"), 1.0), term_values=terms
    )
    return [heat if name == "HEAT" else DetectorScores(name, sets) for name in names]


@pytest.fixture
def open_map(monkeypatch, tmp_path):
    """Opens the page on a pack, scored by stand-ins: open_map(pack, frames, over=True, **link)."""

    def open_page(
        pack: Pack, detector_scores: list[DetectorScores], over: bool = True, **query: str
    ) -> AppTest:
        def work(job: Job) -> None:
            for frame in detector_scores:
                job.report(0.5, frame)
            while not over:
                time.sleep(0.01)
                job.report(0.5)

        shutil.rmtree(tmp_path / "pack", ignore_errors=True)
        write_pack(pack, tmp_path / "pack")
        monkeypatch.setattr("app.pack.data.PACKS", tmp_path)
        monkeypatch.setattr("app.pack.scores.scoring_work", lambda *settings, **more: work)
        at = opened(app(**query).switch_page("feature_map/page.py"))
        if detector_scores:
            until(lambda: len(_frames()) >= len(detector_scores))
            opened(at)  # what is there by now is what it shows
        return at

    return open_page


def _frames() -> list:
    return ensure_scoring_job(current_pack_data(), "modern").frames


@pytest.fixture
def drawings() -> list[Drawing]:
    """What is drawn on the map at its next runs, the first first."""
    return []


@pytest.fixture
def pictures(monkeypatch, drawings) -> list:
    """What the map was asked to show, run by run."""
    pictures: list = []

    def stand_in(picture, on_draw, on_move, key: str) -> None:
        pictures.append(picture)
        if drawings:
            on_draw(drawings.pop(0))

    monkeypatch.setattr(scatter, "scatter_map", stand_in)
    monkeypatch.setattr(pair_panel, "scatter_map", stand_in)
    return pictures


def test_the_map_is_there_before_anything_is_scored(open_map, pictures, pack):
    at = open_map(pack, [], over=False)
    assert "all 450 points drawn" in text(at)
    assert "Trustworthiness" in text(at)
    assert "Fitting the detectors, HEAT among them" in text(at)
    assert "Draw around points" in at.info[0].value
    assert pictures[-1].window == WHOLE
    assert "450 images by PCA" in pictures[-1].alt


def test_a_selection_is_counted_compared_and_seen(open_map, pictures, pack):
    at = open_map(pack, frames(pack, "MSP", "HEAT"))
    part = LabelledItems(
        "bar", "Somewhere else", items_of(pack, {"test": np.arange(47), "far_d": np.arange(3)})
    )
    at.session_state["selection"] = Selection((part,))
    opened(at)
    assert [button.label for button in at.button if button.key == "chip-bar"] == [
        "Somewhere else: 50"
    ]
    assert at.subheader[0].value == "50 selected, 94\u00a0% of them test."
    counts = at.dataframe[0].value.set_index("Set")["Selected"]
    assert counts["test"] == "47 of 60"
    assert counts["near_a"] == "0 of 40"
    assert "The selection's median HEAT score is at or above" in text(at)
    assert at.subheader[1].value == "50 images, most OOD by HEAT first"
    assert "test came as features alone" not in text(at)
    assert "CIFAR-10 is not at hand" in text(at)
    assert "d came as features alone, without images" in text(at)
    at.segmented_control(key="order").set_value("least OOD")
    opened(at)
    assert at.subheader[1].value == "50 images, least OOD by HEAT first"
    press(at, "Clear the selection")
    assert "Draw around points" in at.info[0].value


def test_another_selection_of_the_same_size_begins_at_the_first_page(
    open_map, pictures, pack, monkeypatch
):
    monkeypatch.setattr("app.pack.controls.GALLERY_SIZE", 2)
    at = open_map(pack, frames(pack, "MSP", "HEAT"))

    def select(*rows: int) -> None:
        part = LabelledItems("bar", "Some", items_of(pack, {"test": np.array(rows)}))
        at.session_state["selection"] = Selection((part,))
        opened(at)

    select(1, 2, 3, 4)
    at.session_state["map-page"] = 2
    opened(at)
    select(1, 2, 3, 4)
    assert at.session_state["map-page"] == 2
    select(1, 2, 3, 5)
    assert at.session_state["map-page"] == 1


def test_what_is_drawn_selects_from_the_sets_that_are_shown(open_map, pictures, pack, layout):
    at = open_map(pack, frames(pack, "HEAT"), region=f"pca:{corners_text([SQUARE])}")
    masks = rows_in_polygons(layout, SETS, [SQUARE])
    assert len(at.session_state["selection"]) == sum(int(mask.sum()) for mask in masks.values())
    assert np.allclose(pictures[-1].outlines, [SQUARE])
    at.pills(key="shown").set_value(["test", "far_d"])
    opened(at)
    fewer = rows_in_polygons(layout, ("test", "far_d"), [SQUARE])
    assert set(at.session_state["selection"].items) == {"cifar10/test", "far_d"} & {
        "cifar10/test" if name == "test" else name for name in fewer
    }
    assert list(at.dataframe[0].value["Set"]) == ["test", "far_d"]
    assert link(at)["region"] == f"pca:{corners_text([SQUARE])}:test,far_d"
    at.pills(key="shown").set_value(SETS)
    assert link(opened(at))["region"] == f"pca:{corners_text([SQUARE])}"
    press(at, "Clear the selection")
    assert "region" not in link(at)
    at.pills(key="shown").set_value([])
    opened(at)
    assert any("No set is shown" in info.value for info in at.info)


@pytest.mark.parametrize("page_name", PAGE_NAMES)
def test_a_link_to_any_page_brings_the_selection(open_map, pictures, pack, layout, page_name):
    region = Region("pca", [SQUARE], ("test", "far_d"))
    open_map(pack, frames(pack, "MoG", "HEAT"))
    at = opened(opened(app(region=region.text)).switch_page(f"{page_name}/page.py"))
    assert link(at)["region"] == region.text
    if page_name not in ("demo", "energy", "landscape", "toy_lab"):  # without images: passed on
        many = sum(
            int(mask.sum())
            for mask in rows_in_polygons(layout, ("test", "far_d"), [SQUARE]).values()
        )
        assert many
        assert [button.label for button in at.button if button.key == "chip-map"] == [
            f"Drawn on the map: {many}"
        ]
    at.switch_page("feature_map/page.py")
    assert set(opened(at).session_state["selection"].items) == {"cifar10/test", "far_d"}
    press(at, "Clear the selection")
    assert "region" not in link(opened(at.switch_page("detectors/page.py")))


def test_what_is_drawn_is_the_selection_and_the_link_in_one(open_map, pictures, drawings, pack):
    at = open_map(pack, frames(pack, "HEAT"))
    corner = [(x / 2, y / 2) for x, y in SQUARE]
    for polygon, adds in ((SQUARE, False), (corner, True)):
        drawings.append(Drawing("lasso", tuple(polygon), adds, 0.01))
        opened(opened(at))
    assert np.allclose(pictures[-1].outlines, [SQUARE, corner])
    assert link(at)["region"] == f"pca:{corners_text([SQUARE, corner])}"
    drawings.append(Drawing("box", tuple(corner), False, 0.01))
    opened(opened(at))
    assert link(at)["region"] == f"pca:{corners_text([corner])}"
    layout = layout_of(pack)
    masks = rows_in_polygons(layout, SETS, [corner])
    assert len(at.session_state["selection"]) == sum(int(mask.sum()) for mask in masks.values())
    at.button(key="chip-map").click()
    opened(at)
    assert "region" not in link(at)
    assert pictures[-1].outlines == []


def test_a_link_has_the_corners_that_are_drawn_on_whatever_screen(
    open_map, pictures, drawings, pack
):
    at = open_map(pack, frames(pack, "HEAT"))
    drawings.append(Drawing("lasso", ((0.123456, 0.1), (0.9, 0.2), (0.5, 0.87654321)), False, 0.01))
    opened(opened(at))
    region = parse_region(link(at)["region"])
    assert at.session_state["selection"].part("map").region == region
    assert [list(polygon) for polygon in pictures[-1].outlines] == region.polygons


def test_a_link_to_a_map_that_is_not_there_can_be_given_up(open_map, pack):
    open_map(pack, frames(pack, "HEAT"))
    at = opened(app(region=f"umap:{corners_text([SQUARE])}").switch_page("detectors/page.py"))
    press(at, "Select nothing instead")
    assert not any("lay it out by UMAP" in info.value for info in at.info)
    assert "region" not in link(at)


def test_the_sets_of_a_region_win_over_those_of_the_link(open_map, pictures, pack, layout):
    region = Region("pca", [SQUARE], ("test",))
    open_map(pack, frames(pack, "MoG", "HEAT"))
    at = opened(app(region=region.text, shown="junk").switch_page("feature_map/page.py"))
    assert link(at)["region"] == region.text
    assert set(at.session_state["selection"].items) == {"cifar10/test"}


def test_a_link_to_a_map_that_is_not_there_says_so_and_selects_once_it_is(
    open_map, pictures, pack, layout, monkeypatch
):
    monkeypatch.setattr(
        "app.pack.layout_state.layout_work",
        lambda *settings: lambda job: replace(layout, method="umap"),
    )
    open_map(pack, frames(pack, "HEAT"))
    at = opened(app(region=f"umap:{corners_text([SQUARE])}").switch_page("detectors/page.py"))
    assert any("lay it out by UMAP" in info.value for info in at.info)
    assert "selection" not in at.session_state
    assert link(at)["region"].startswith("umap:")
    opened(at.switch_page("feature_map/page.py")).segmented_control(key="layout").set_value("umap")
    press(opened(at), "Lay them out by UMAP")
    wait(at, lambda page: any(button.key == "chip-map" for button in page.button))
    many = sum(int(mask.sum()) for mask in rows_in_polygons(layout, SETS, [SQUARE]).values())
    assert len(opened(at.switch_page("detectors/page.py")).session_state["selection"]) == many
    assert not any("lay it out by UMAP" in info.value for info in at.info)


@pytest.mark.parametrize(
    "bad",
    [
        "umap",
        "pca:",
        "pca:1.2",
        "pca:<b>",
        ":::",
        "tsne:1.2-3.4-5.6",
        ":1.2-3.4-5.6",
        "pca:1.2-3.4-5.6:x",
    ],
)
def test_a_link_that_was_cut_off_selects_nothing(open_map, pictures, pack, bad):
    at = open_map(pack, [], over=False, region=bad, window="0_0_9_9")
    opened(at)
    assert "selection" not in at.session_state
    assert "region" not in link(at)
    assert pictures[-1].window == WHOLE
    assert pictures[-1].outlines == []


def test_colours_follow_the_choice(open_map, pictures, pack):
    at = open_map(pack, frames(pack, "MSP", "HEAT"))
    titles = {}
    for colour in COLOURINGS:
        at.selectbox(key="colour").set_value(colour)
        opened(at)
        titles[colour] = pictures[-1].legend
    assert len(titles["class"].entries) == 5
    assert titles["score"].ends == ("0 %", "100 %")
    assert "E_θ" in titles["correction"].title
    assert titles["correction"].ends[0].startswith("-")
    assert titles["flip"].entries[0][2].startswith("HEAT's prior accepts, HEAT rejects: ")


def test_metadata_colours_and_filters_the_map_and_its_link_brings_both(open_map, pictures, pack):
    cameras = {"class": Column.of_texts(["A", "B", "B"] * 20)}
    days = {"age": Column.of_array(np.arange(50.0))}
    ids = {"id": Column.of_texts(f"IMG_{row}" for row in range(60))}
    ood = {**pack.ood, ("far", "d"): replace(pack.ood["far", "d"], metadata=days)}
    known = replace(pack, test=replace(pack.test, metadata=cameras | ids), ood=ood)
    at = open_map(known, frames(known, "HEAT"), colour="column class")  # beside the colouring class
    assert pictures[-1].legend.title == "class"
    entries = [text for _, _, text in pictures[-1].legend.entries]
    assert entries[:2] == ["B: 40", "A: 20"]
    assert entries[2].startswith("not known: ")
    at.selectbox(key="filtered").set_value("class")
    opened(at)
    at.button_group(key="where class").set_value(["A"])
    opened(at)
    rows = np.arange(0, 60, 3)
    items = at.session_state["selection"].items
    assert {source: of.tolist() for source, of in items.items()} == {
        "cifar10/test": (2 * rows).tolist()
    }
    chip = "class\\: A: 20"
    assert chip in offered(at)
    assert link(at)["where"] == '[["class",["A"]]]'
    assert "picked" not in link(at)
    at.text_input(key="typed-item").set_value("IMG_7")
    assert link(opened(at))["item"] == "cifar10/test/14"
    assert "IMG\\_7 · cifar10/test/14" in text(at)

    again = app(**link(at)).switch_page("feature_map/page.py")
    assert list(opened(again).session_state["selection"].items["cifar10/test"]) == list(2 * rows)
    again.selectbox(key="filtered").set_value("age")
    opened(again).slider(key="where age").set_value((10.0, 20.0))
    assert len(opened(again).session_state["selection"]) == 0  # no row has both
    press(again, chip)
    assert list(again.session_state["selection"].items) == ["far_d"]
    assert link(again)["where"] == '[["age",[10.0,20.0]]]'


def test_a_correction_that_is_not_there_says_so(open_map, pictures, pack):
    at = open_map(
        pack,
        [DetectorScores("HEAT", {}, "HEAT failed on these features: no luck")],
        colour="correction",
    )
    assert any("HEAT failed" in info.value for info in at.info)
    assert any("no correction" in info.value for info in at.info)


def test_an_image_is_typed_and_looked_at(open_map, pictures, pack):
    at = open_map(pack, frames(pack, "HEAT"))
    at.text_input(key="typed-item").set_value(" cifar10/test/4 ")
    opened(at)
    assert link(at)["item"] == "cifar10/test/4"
    spot = pictures[-1].marks[-1].spot
    assert np.allclose(spot, layout_of(pack).positions["test"][2])


def test_what_is_opened_is_beside_the_map_and_leads_to_the_next(open_map, pictures, pack):
    at = open_map(pack, frames(pack, "HEAT"), item="cifar10/test/4")
    assert "Nearest class: " in text(at)
    order = np.argsort(-pack.test.z[:, 0].double().numpy(), kind="stable").tolist()
    place = order.index(2)
    assert f"{place + 1} of 60 in test" in text(at)
    press(at, "Next")
    assert link(at)["item"] == f"cifar10/test/{2 * order[place + 1]}"
    part = LabelledItems("bar", "Two", items_of(pack, {"far_d": np.array([3, 8])}))
    at.session_state["selection"] = Selection((part,))
    at.session_state["item"] = "far_d/3"
    assert "of 2 selected" in text(opened(at))
    press(at, "Next" if "Next" in offered(at) else "Previous")
    assert link(at)["item"] == "far_d/8"
    press(at, "Close")
    assert "item" not in link(at)
    assert at.subheader[0].value == "2 selected, all of them far_d."


def test_a_lasso_before_and_after_selects_on_the_map(open_map, pictures, drawings, pack):
    at = open_map(pack, frames(pack, "HEAT"), panel="before and after")
    assert "HEAT's prior accepts and HEAT rejects" in text(at).replace("\\", "")
    assert [picture.plot for picture in pictures[-2:]] == ["map", "before-after"]
    everything = ((-1.0, -1.0), (2.0, -1.0), (2.0, 2.0), (-1.0, 2.0))
    drawings += [Drawing("lasso", SQUARE, False, 0.01), Drawing("lasso", everything, False, 0.01)]
    opened(opened(at))
    drawn = rows_in_polygons(layout_of(pack), SETS, [SQUARE])
    assert at.session_state["selection"].part("before-after").region.polygons == [everything]
    assert len(at.session_state["selection"]) == sum(
        int(mask.sum()) for name, mask in drawn.items() if name != "train"
    )
    assert pictures[-1].outlines == [everything]
    assert "picked" in link(at)


def test_tags_are_kept_in_the_link_and_select(open_map, pictures, pack):
    at = open_map(pack, frames(pack, "HEAT"))
    part = LabelledItems("bar", "Some", items_of(pack, {"test": np.arange(7)}))
    at.session_state["selection"] = Selection((part,))
    opened(at).text_input(key="new-tag").set_value("=1+1")
    assert "got =1+1" in opened(at).error[0].value
    at.text_input(key="new-tag").set_value("odd ones")
    tagged = link(opened(at))["tags"]
    at = opened(app(tags=tagged).switch_page("feature_map/page.py"))
    press(at, "odd ones: 7")
    assert at.session_state["selection"].items["cifar10/test"].tolist() == [0, 2, 4, 6, 8, 10, 12]
    assert at.get("download_button")
    press(at, "Remove odd ones")
    assert "tags" not in link(at)


def test_data_without_a_map_offers_one_and_shows_it(open_map, pictures, arrays):
    plain = pack_from_arrays(arrays)
    at = open_map(plain, frames(plain, "HEAT"))
    assert "There is no map of these 450 points by UMAP yet" in at.info[0].value
    assert not pictures
    at.segmented_control(key="layout").set_value("pca")
    opened(at)
    press(at, "Lay them out by PCA")
    wait(at, lambda page: pictures)
    assert "Laid out by PCA. Trustworthiness" in text(at)


def test_a_map_under_way_can_be_cancelled_and_one_that_failed_says_why(
    open_map, pictures, arrays, monkeypatch
):
    def endless(job: Job) -> None:
        while True:
            time.sleep(0.01)
            job.report(0.25)

    def broken(job: Job) -> None:
        raise ValueError("no *memory*")

    plain = pack_from_arrays(arrays)
    at = open_map(plain, frames(plain, "HEAT"))
    monkeypatch.setattr("app.pack.layout_state.layout_work", lambda *settings: endless)
    press(at, "Lay them out by UMAP")
    wait(at, lambda page: "Laying the points out by UMAP: 25%" in text(page))
    press(at, "Cancel")
    wait(at, lambda page: "Lay them out by UMAP" in offered(page))
    monkeypatch.setattr("app.pack.layout_state.layout_work", lambda *settings: broken)
    press(at, "Lay them out by UMAP")
    wait(at, lambda page: page.error)
    assert at.error[0].value == r"no \*memory\*"
    monkeypatch.setattr("app.pack.layout_state.layout_work", lambda *settings: endless)
    press(at, "Try again")
    wait(at, lambda page: "Laying the points out by UMAP: 25%" in text(page))


def test_uploaded_data_have_their_own_map_and_selection(open_map, pictures, pack, arrays):
    at = open_map(
        pack, frames(pack, "HEAT"), region=f"pca:{corners_text([SQUARE])}", item="cifar10/test/4"
    )
    assert at.session_state["selection"]
    at.session_state["uploaded"] = PackData(
        "another", pack_from_arrays({k: v for k, v in arrays.items() if k != "near_b"})
    )
    at.session_state["selection"] = Selection()
    opened(at)
    assert "There is no map of these 420 points" in text(at)
    press(at, "Back to the server's data")
    assert "all 450 points drawn" in text(at)


def test_without_data_or_with_a_broken_pack_it_says_so(monkeypatch, tmp_path, pack):
    monkeypatch.setattr("app.pack.data.PACKS", tmp_path)
    at = opened(app().switch_page("feature_map/page.py"))
    assert "There are no features yet" in at.info[0].value
    write_pack(pack, tmp_path / "broken")
    (tmp_path / "broken" / "test.safetensors").write_bytes(b"nothing")
    at = opened(app().switch_page("feature_map/page.py"))
    assert "cannot be read" in at.error[0].value
