"""A journey in a real browser: from flips to an image, its neighbour, the selection; bytes."""

from __future__ import annotations

import re
from urllib.parse import unquote

from tests.browser.driver import (
    MAX_BYTES,
    WITH_A_PACK,
    Wire,
    all_scored,
    browser,
    settle,
    watch_errors,
)

pytestmark = WITH_A_PACK


def looked_at(page) -> str:
    return unquote(re.search(r"item=([^&]+)", page.url)[1])


def test_from_a_flip_to_the_image_to_its_neighbour_and_to_the_selection(url: str):
    with browser(1280, 1000) as context:
        page, errors = context.new_page(), []
        page.on("pageerror", lambda error: errors.append(str(error)))
        wire = Wire(page)
        page.goto(f"{url}/detectors")
        all_scored(page)
        heading = page.locator("h3", has_text="HEAT's prior accepts and HEAT rejects").inner_text()
        found = sum(int(count.replace(",", "")) for count in re.findall(r"([\d,]+) of", heading))

        # A click sends one message and shows the image, spelled out.
        tile = page.locator(".tiles button").first
        tile.scroll_into_view_if_needed()
        settle(page)
        wire.reset()
        tile.click()
        drawer = page.get_by_role("dialog")
        drawer.get_by_text("The nearest training images").wait_for()
        settle(page)
        assert wire.messages == 1
        assert 0 < wire.received <= MAX_BYTES
        first = looked_at(page)
        terms = re.search(
            r"HEAT: prior (\S+) \+ correction (\S+) = (\S+), verdict out", drawer.inner_text()
        )
        prior, correction, total = map(float, terms.groups())
        assert round(prior + correction, 2) == total
        assert correction > 0  # it was moved up

        # A neighbour is looked at in turn, by keys.
        wire.reset()
        drawer.locator(".tiles button").nth(1).focus()
        page.keyboard.press("Enter")
        drawer.get_by_text("The detectors were fitted to this image").wait_for()
        assert looked_at(page).startswith("cifar10/train/")
        assert wire.received <= MAX_BYTES

        # The link shows the same image to somebody else.
        other = context.new_page()
        other.goto(page.url)
        other.get_by_role("dialog").get_by_text(looked_at(page)).wait_for()
        other.close()

        # It is closed, and the link forgets it.
        page.keyboard.press("Escape")
        drawer.wait_for(state="hidden")
        settle(page)
        assert "item=" not in page.url
        assert first

        # All flips become the selection, on the other pages too.
        page.get_by_role("button", name=f"Select these {found:,}").click()
        chip = f"HEAT's prior accepts, HEAT rejects: {found:,}"
        page.get_by_role("button", name=chip).wait_for()
        page.get_by_role("link", name="Threshold lab").click()
        page.get_by_role("button", name=chip).wait_for()
        settle(page)
        other = context.new_page()  # and in the link
        other.goto(page.url)
        other.get_by_role("button", name=chip).wait_for()
        other.close()
        page.get_by_role("button", name="Clear the selection").click()
        page.get_by_role("button", name=chip).wait_for(state="hidden")
        settle(page)
        assert "picked=" not in page.url
        assert errors == []


def test_a_drag_moves_every_line_and_a_click_on_a_bar_selects_what_lies_in_it(url: str):
    with browser(1280, 1000) as context:
        page = context.new_page()
        errors = watch_errors(page)
        wire = Wire(page)
        page.goto(f"{url}/detectors?scale=ID+percentile")
        all_scored(page)
        rows = page.get_by_role("region", name="by detector").locator("tbody tr")
        finding = page.locator("h3.finding")
        line = page.get_by_role("slider", name="Line of HEAT", exact=True)
        others_line = page.get_by_role("slider", name="Line of KNN", exact=True)
        line.scroll_into_view_if_needed()
        settle(page)

        # While the line is held, all others, the table and the finding follow, and nothing is sent.
        before = rows.all_inner_texts(), others_line.bounding_box()["x"], finding.inner_text()
        plot, held = line.locator("..").bounding_box(), line.bounding_box()
        y = plot["y"] + 0.5 * plot["height"]
        wire.reset()
        page.mouse.move(held["x"] + held["width"] / 2, y)
        page.mouse.down()
        page.mouse.move(plot["x"] + 0.8 * plot["width"], y, steps=8)
        page.wait_for_timeout(200)
        assert wire.messages == 0
        during = rows.all_inner_texts(), others_line.bounding_box()["x"], finding.inner_text()
        assert during[1] < before[1]
        assert not set(during[0]) & set(before[0])
        assert during[2] != before[2]
        kept = float(re.search(r"Where ([\d.]+)\s% of ID is kept", during[2])[1])
        assert 75 < kept < 85

        # Let go: one message, and the whole page keeps as much of ID.
        page.mouse.up()
        page.get_by_text(f"Each threshold keeps {kept:g} % of ID").wait_for()
        settle(page)
        assert wire.messages == 1
        assert wire.received <= MAX_BYTES
        assert sorted(rows.all_inner_texts()) == sorted(during[0])
        assert f"keep={kept}" in page.url

        line.scroll_into_view_if_needed()
        plot = line.locator("..").bounding_box()
        wire.reset()
        page.mouse.click(plot["x"] + 0.5 * plot["width"], plot["y"] + 0.5 * plot["height"])
        chip = page.get_by_role("button", name=re.compile(r"HEAT ID percentile .* to .*: [\d,]+"))
        chip.wait_for()
        settle(page)
        low, high = re.search(r"percentile ([\d.]+) to ([\d.]+)", chip.inner_text()).groups()
        assert 40 < float(low) < float(high) < 60
        assert wire.received <= MAX_BYTES
        assert errors == []
