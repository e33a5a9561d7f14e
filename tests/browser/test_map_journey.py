"""A journey in a real browser: draw around points, count, preview, look at images, share.

The bytes that travel are counted, too.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from app.pack.data import offered_packs
from app.pack.items import find_item
from app.pack.layout import Layout, Region, layout_of, parse_region, rows_in_polygons
from tests.browser.driver import MAX_BYTES, WITH_A_PACK, Wire, browser, settle

pytestmark = WITH_A_PACK
SCROLLED = """before => [...document.querySelectorAll('*')].some(
    place => place.shadowRoot?.querySelector('.face')?.getBoundingClientRect().top < before - 50)
    || document.querySelector('.face')?.getBoundingClientRect().top < before - 50"""
AROUND = [
    (0.40, 0.50),
    (0.50, 0.46),
    (0.62, 0.50),
    (0.62, 0.66),
    (0.50, 0.70),
    (0.40, 0.64),
]  # the middle of the map


@pytest.fixture(scope="module")
def layout() -> Layout:
    from heat_core.pack import read_pack

    layout = layout_of(read_pack(next(iter(offered_packs().values()))))
    assert layout is not None
    return layout


def parameter(page, name: str) -> str:
    """Returns a query parameter of the page's address."""
    return parse_qs(urlsplit(page.url).query).get(name, [""])[0]


def face(page, canvas: int = 0):
    """Returns where the map lies on the page, or another canvas."""
    return page.locator(".face canvas").nth(canvas).bounding_box()


def draw(page, corners, shift: bool = False, canvas: int = 0) -> None:
    """Draws on the map with the mouse held down, or on another canvas."""
    box = face(page, canvas)
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    if shift:
        page.keyboard.down("Shift")
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=12)
    page.mouse.up()
    if shift:
        page.keyboard.up("Shift")


def rows_in_link(layout: Layout, page, sets) -> int:
    """Returns how many points the shapes in the link hold."""
    return sum(
        int(mask.sum()) for mask in rows_in_polygons(layout, sets, region(page).polygons).values()
    )


def region(page) -> Region:
    """Returns what the link says is drawn."""
    region = parse_region(parameter(page, "region"))
    assert region is not None
    return region


def selected(page) -> int:
    """Returns how many points the page says are selected."""
    return int(
        re.search(r"([\d,]+) selected", page.locator("h3").first.inner_text())[1].replace(",", "")
    )


def test_draw_count_look_and_share(url: str, layout):
    names = tuple(layout.coordinates)
    with browser(1440, 1500) as context:
        page, errors = context.new_page(), []
        page.on("pageerror", lambda error: errors.append(str(error)))
        wire = Wire(page)
        page.goto(f"{url}/feature_map?scorer=MSP&colour=score")
        page.locator(".legend", has_text="MSP: share of ID").wait_for(timeout=300_000)
        settle(page, 1500)

        # A lasso: one small message, and the counts are those of its shape.
        wire.reset()
        draw(page, AROUND)
        page.locator("h3", has_text=re.compile("selected, ")).wait_for()
        settle(page)
        assert 0 < selected(page) == rows_in_link(layout, page, names) < 21_000
        assert wire.received <= MAX_BYTES
        assert wire.sent <= 4000
        first = selected(page)
        assert page.get_by_role("button", name=re.compile(r"Drawn on the map: [\d,]+")).count() == 1

        # The images of those, and one of them under the glass.
        tiles = page.locator(".tiles button")
        tiles.first.wait_for()
        assert tiles.count() == 24
        wire.reset()
        tiles.first.click()
        page.get_by_text("The nearest training images").wait_for()
        settle(page)
        assert wire.received <= MAX_BYTES
        item = parameter(page, "item")
        assert find_set(item) in names

        # It is beside the map; arrow keys go through the selection.
        beside = page.get_by_text("The nearest training images").bounding_box()
        assert beside["x"] > face(page)["x"] + face(page)["width"]
        page.get_by_text(f"1 of {first:,} selected").wait_for()
        page.keyboard.press("ArrowRight")
        page.get_by_text(f"2 of {first:,} selected").wait_for()
        assert parameter(page, "item") != item
        page.keyboard.press("Escape")
        page.wait_for_url(lambda address: "item=" not in address)

        # What is switched off is not picked, and comes back with its set.
        page.get_by_role("button", name="Sets: ").click()
        page.get_by_role("button", name="MNIST", exact=True).click()
        page.wait_for_function(
            "before => !document.querySelector('h3').innerText.startsWith(before)",
            arg=f"{first:,} ",
        )
        settle(page)
        assert (
            selected(page)
            == rows_in_link(layout, page, [name for name in names if name != "far_mnist"])
            < first
        )
        page.keyboard.press("Escape")

        # With Shift a second shape adds to the first.
        before = selected(page)
        draw(page, [(0.7, 0.1), (0.9, 0.1), (0.9, 0.35), (0.7, 0.35)], shift=True)
        page.wait_for_function(
            "before => !document.querySelector('h3').innerText.startsWith(before)",
            arg=f"{before:,} ",
        )
        settle(page)
        assert len(region(page).polygons) == 2
        assert set(region(page).set_names or names) == {*names} - {"far_mnist"}
        assert selected(page) > before

        # The link gives the same window to somebody else.
        other = context.new_page()
        other.goto(page.url)
        other.locator("h3", has_text=page.locator("h3").first.inner_text()).wait_for()
        other.close()

        # A point under the pointer is previewed with its image, a click looks into it.
        row = int(abs(layout.positions["test"] - 0.5).sum(1).argmin())
        x, y = layout.positions["test"][row].tolist()
        box = face(page)
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        preview = page.locator(".preview")
        preview.get_by_text(re.compile(r"^MSP \d+\.\d %$")).wait_for()
        preview.locator("img").wait_for()
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
        page.get_by_text("The nearest training images").wait_for()
        settle(page)
        assert near(layout, parameter(page, "item"), (x, y))
        page.keyboard.press("Escape")
        page.wait_for_url(lambda address: "item=" not in address)

        # One button clears everything.
        page.get_by_role("button", name="Clear the selection").click()
        page.get_by_text("Draw around points on the map to see").wait_for()
        assert parameter(page, "region") == ""

        # What is drawn before and after is selected on the map, too.
        page.goto(f"{url}/feature_map?scorer=MSP&accepts=MSP&rejects=Energy&panel=before+and+after")
        page.get_by_text("MSP accepts and Energy rejects").first.wait_for()
        settle(page)
        draw(page, [(0.02, 0.02), (0.98, 0.02), (0.98, 0.5), (0.02, 0.5)], canvas=1)
        page.get_by_role("button", name=re.compile(r"Drawn on before and after: [\d,]+")).wait_for()
        assert page.locator('[data-testid="stException"]').count() == 0
        assert errors == []


def find_set(item: str) -> str:
    from heat_core.pack import read_pack

    pack_row = find_item(read_pack(next(iter(offered_packs().values()))), item)
    return pack_row[0] if pack_row else ""


def near(layout: Layout, item: str, spot: tuple[float, float]) -> bool:
    """Returns whether an item lies within a click's reach of a spot."""
    from heat_core.pack import read_pack

    pack_row = find_item(read_pack(next(iter(offered_packs().values()))), item)
    assert pack_row is not None
    name, row = pack_row
    return bool((abs(layout.positions[name][row] - spot) < 0.02).all())


def _choose_in_menu(page, url: str) -> None:
    """The menu closes over the page that was chosen in it."""
    page.goto(f"{url}/demo")
    settle(page)
    page.get_by_test_id("stExpandSidebarButton").click()
    page.get_by_role("link", name="Landscape").click()
    page.get_by_test_id("stSidebar").wait_for(state="hidden")
    page.wait_for_url(re.compile("/landscape"))


def _scroll_over_map(page) -> None:
    """A finger on the map scrolls the page and draws nothing, until it has taken up a tool."""
    page.locator(".face").scroll_into_view_if_needed()
    before = _top_of_map(page)
    _swipe_up(page, before)
    page.wait_for_function(SCROLLED, arg=before)
    assert not parameter(page, "region")
    page.get_by_role("button", name="Move").click()
    page.locator(".face").scroll_into_view_if_needed()
    before = _top_of_map(page)
    _swipe_up(page, before)
    assert _top_of_map(page) == before


def _top_of_map(page) -> float:
    box = page.locator(".face").bounding_box()
    assert box is not None
    return box["y"]


def _swipe_up(page, top: float) -> None:
    """Moves a finger 150 px up within the map."""
    devtools = page.context.new_cdp_session(page)

    def touch(kind: str, *points: dict) -> None:
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(points)})

    touch("touchStart", {"x": 200, "y": top + 220})
    for step in range(1, 11):
        touch("touchMove", {"x": 200, "y": top + 220 - 15 * step})
    touch("touchEnd")


def test_keys_zoom_and_a_phone(url: str, layout):
    with browser(400, 800, phone=True) as context:
        page = context.new_page()
        _choose_in_menu(page, url)
        page.goto(f"{url}/feature_map?scorer=MSP")
        page.locator(".face canvas").wait_for(timeout=300_000)
        settle(page, 1500)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        _scroll_over_map(page)
        page.get_by_role("button", name="Zoom in").click()
        page.wait_for_url(re.compile("window="))
        settle(page)
        left, top, right, bottom = (float(n) for n in parameter(page, "window").split("_"))
        assert (left, top, right, bottom) == (0.25, 0.25, 0.75, 0.75)
        page.locator(".face").focus()
        page.keyboard.press(" ")  # one corner of a box
        for _ in range(4):
            page.keyboard.press("Shift+ArrowRight")
            page.keyboard.press("Shift+ArrowDown")
        page.keyboard.press(" ")
        page.locator("h3", has_text="selected").wait_for()
        settle(page)
        assert selected(page) == rows_in_link(layout, page, tuple(layout.coordinates)) > 0
        (polygon,) = region(page).polygons
        assert polygon[0] == (0.5, 0.5)
        assert polygon[2] == (0.7, 0.7)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
