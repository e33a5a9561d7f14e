"""Surfaces in a real browser: what stands on the canvas, and what a click, a drag and keys do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from app.colour_scale import ColourScale
from app.components import files, surfaces
from app.components.surfaces import Block, Surface
from tests.browser.driver import JOURNEY, browser

if TYPE_CHECKING:
    from playwright.sync_api import FloatRect, Page

pytestmark = JOURNEY

AXIS = np.linspace(-4, 4, 41)
BOWL = np.minimum(AXIS**2 + AXIS[:, None] ** 2 - 4, 8.0)
SCALE = ColourScale(("#0072B2", "#f7f7f7", "#D55E00"), -8.0, 8.0)
BLOCK = Block((-4.0, 4.0), (-4.0, 4.0), SCALE, columns=2)
FILES = files("surfaces")
DOWN, ACROSS = np.sin(np.pi / 3), np.cos(np.pi / 3)
MOUNT = """async ([script, data]) => {
    const file = new Blob([script], { type: 'text/javascript' });
    const component = await import(URL.createObjectURL(file));
    window.messages = [];
    window.show = data => component.default({
        parentElement: document.querySelector('main'),
        data,
        setTriggerValue: (name, value) => window.messages.push([name, value]),
    });
    window.show(data);
}"""
PIXEL = """([panel, x, y]) => {
    const canvas = document.querySelectorAll('canvas')[panel];
    const scale = canvas.width / canvas.clientWidth;
    const [left, top] = [Math.round(x * scale), Math.round(y * scale)];
    return [...canvas.getContext('2d').getImageData(left, top, 1, 1).data];
}"""
DRAWN = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
PICTURES = "() => [...document.querySelectorAll('canvas')].map(canvas => canvas.toDataURL())"


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browser(1200, 700) as context:
        yield context.new_page()


def _show(page: Page, *panels: Surface, **changes: Any) -> None:
    """Opens a page with surfaces in a block that differs from `BLOCK` by the changes."""
    data = surfaces.surfaces_data(panels, replace(BLOCK, **changes), picks=True)
    page.set_content(
        f"<style>{FILES['css']}</style><main style='width: 1100px'>{FILES['html']}</main>"
    )
    page.evaluate(MOUNT, [FILES["js"], data])
    _wait_drawn(page)


def _wait_drawn(page: Page) -> None:
    page.evaluate(DRAWN)


def _box(page: Page, panel: int = 0) -> FloatRect:
    """Returns where a panel's canvas lies on the page, in pixels."""
    box = page.locator("canvas").nth(panel).bounding_box()
    assert box is not None
    return box


def _middle(page: Page, panel: int = 0) -> tuple[float, float]:
    box = _box(page, panel)
    return box["width"] / 2, box["height"] / 2


def _pictures(page: Page) -> list[str]:
    return page.evaluate(PICTURES)


def _drag(page: Page, x: float, y: float, right: float) -> None:
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + right, y, steps=4)
    page.mouse.up()
    _wait_drawn(page)


def test_a_level_has_its_colour_and_the_same_on_every_surface(page):
    for level, expected in ((8.0, (213, 94, 0)), (0.0, (247, 247, 247)), (-8.0, (0, 114, 178))):
        flat = Surface(np.full((21, 21), level), "Flat", "all one height", "A plain")
        _show(page, flat, flat)
        seen = [page.evaluate(PIXEL, [panel, *_middle(page, panel)]) for panel in (0, 1)]
        assert seen[0] == seen[1]
        red, green, blue, solid = seen[0]
        light = max(red, green, blue) / max(expected)
        assert solid == 255
        assert 0.85 < light <= 1.0  # the sun stands nearly above
        np.testing.assert_allclose((red, green, blue), [light * part for part in expected], atol=2)


def test_a_map_from_above_has_its_places_where_its_ticks_say(page):
    slope = Surface(
        np.tile(np.linspace(-8, 8, 21), (21, 1)),
        "Slope",
        "rises to the right",
        "A slope",
        level=0.0,
    )
    _show(page, slope, flat=True)
    box = _box(page)
    size = min(box["width"] - 40, box["height"] - 28) / 2
    middle = 34 + (box["width"] - 40) / 2, 6 + size
    for share, expected in (
        (-0.98, (5, 117, 179)),
        (-0.5, (124, 180, 212)),
        (0.5, (230, 170, 124)),
    ):
        seen = page.evaluate(PIXEL, [0, middle[0] + share * size, middle[1]])[:3]
        np.testing.assert_allclose(seen, expected, atol=4)  # no shade from above
    dark = [
        page.evaluate(PIXEL, [0, middle[0] - 1, middle[1] + down])[0] < 60
        for down in range(-40, 40)
    ]
    assert 0.3 < np.mean(dark) < 0.9  # the line of the level is dashed
    page.mouse.click(box["x"] + middle[0] + 0.5 * size, box["y"] + middle[1] - 0.25 * size)
    [[_, spot]] = page.evaluate("window.messages")
    assert spot == pytest.approx([2.0, 1.0], abs=0.05)
    before = _pictures(page)
    _drag(page, box["x"] + middle[0], box["y"] + middle[1], right=90)
    assert _pictures(page) == before  # a map does not turn


def test_a_click_says_the_place_that_is_seen_under_it(page):
    _show(page, Surface(np.zeros((21, 21)), "", "", "A plain"), tilt=60.0, turn=0.0)
    x, y = _middle(page)
    box = _box(page)
    page.mouse.click(box["x"] + x, box["y"] + 5)  # above the block: nothing is there
    assert page.evaluate("window.messages") == []
    size = min(
        (box["width"] / 2 - 26) / 2**0.5, (box["height"] / 2 - 26) / (2**0.5 * DOWN + 0.2 * ACROSS)
    )
    raised = (
        2 * (0.5 - 0.46) / 0.54 - 1
    ) * 0.2  # the plain lies .04 of the heights above the block's floor
    page.mouse.click(
        box["x"] + x + size * 0.5, box["y"] + y - size * (-0.25 * DOWN + raised * ACROSS)
    )
    [[name, spot]] = page.evaluate("window.messages")
    assert name == "picked"
    assert spot == pytest.approx([2.0, -1.0], abs=0.05)


def test_all_turn_together_and_back(page):
    bowl = Surface(BOWL, "Bowl", "round", "A bowl", level=0.0)
    _show(page, bowl, Surface(-BOWL, "Hill", "the same upside down", "A hill"))
    first = _pictures(page)
    page.locator("canvas").nth(1).focus()
    page.keyboard.press("ArrowLeft")
    _wait_drawn(page)
    turned = _pictures(page)
    assert all(a != b for a, b in zip(first, turned, strict=True))
    page.keyboard.press("Home")
    _wait_drawn(page)
    assert _pictures(page) == first
    box = _box(page)
    _drag(page, box["x"] + 200, box["y"] + 150, right=60)
    assert all(a != b for a, b in zip(first, _pictures(page), strict=True))
    assert page.evaluate("window.messages") == []  # a drag is no click, and nothing travels


def test_it_reads_the_height_under_the_pointer_and_says_what_is_cut_off(page):
    _show(
        page,
        Surface(np.full((21, 21), 3.25), "", "", "A plain"),
        Surface(np.full((21, 21), 99.0), "", "", "High"),
    )
    for panel, said in ((0, "3.25 nats"), (1, "≥ 8.00 nats")):
        page.locator("canvas").nth(panel).hover()
        assert page.locator("output").nth(panel).inner_text().endswith(f": {said}")


def test_text_stays_text_and_new_data_take_the_place_of_old(page):
    odd = "<img src=x onerror=alert(1)>"
    _show(
        page,
        Surface(BOWL, odd, odd, odd),
        Surface(BOWL, "", "", ""),
        marks={odd: (0.0, 0.0), "": (1.0, 1.0)},
    )
    assert page.locator("img").count() == 0
    assert odd in page.locator("figcaption").first.inner_text()
    before = _pictures(page)[0]
    data = surfaces.surfaces_data([Surface(-BOWL, "", "", "")], BLOCK, picks=False)
    page.evaluate("data => window.show(data)", data)
    _wait_drawn(page)
    assert len(_pictures(page)) == 1
    assert _pictures(page)[0] != before
    box = _box(page)
    page.mouse.click(box["x"] + 200, box["y"] + 200)
    assert page.evaluate("window.messages") == []  # nobody asked for clicks
