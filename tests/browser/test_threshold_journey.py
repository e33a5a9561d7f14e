"""A journey in a real browser: drag the line, read the numbers, use keys, share the link; bytes."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest

from app.threshold_lab.controls import RULES_BY_TITLE
from tests.browser.driver import MAX_BYTES, WITH_A_PACK, Wire, browser, settle

pytestmark = WITH_A_PACK


def kept(page) -> str:
    """Returns what the line itself says of ID, such as 95.0."""
    text = page.get_by_role("slider", name="Threshold").get_attribute("aria-valuetext")
    return re.search(r"keeps ([\d.]+) % of ID", text)[1]


def finding(page) -> str:
    """Returns what the server says of ID."""
    return re.search(r"keeps ([\d.]+)\s% of ID", page.locator("h3").first.inner_text())[1]


def agree(page) -> None:
    """Waits until the server's numbers are those of the line."""
    slider = page.get_by_role("slider", name="Threshold")
    share = kept(page)
    page.locator("h3", has_text=re.compile(rf"keeps {re.escape(share)}\s% of ID")).first.wait_for()
    settle(page)
    assert slider.count() == 1
    assert kept(page) == finding(page) == share


def test_drag_the_line_read_the_numbers_and_share_the_link(url: str):
    with browser(1280, 1400) as context:
        page, errors = context.new_page(), []
        page.on("pageerror", lambda error: errors.append(str(error)))
        wire = Wire(page)
        page.goto(f"{url}/threshold_lab?scorer=MSP")
        slider = page.get_by_role("slider", name="Threshold")
        slider.wait_for(timeout=300_000)
        settle(page)
        begun = kept(page)  # chosen on held-out images, counted on the test set
        assert begun == finding(page)
        assert abs(float(begun) - 95) < 1

        # While the line is held, its numbers move and nothing is sent.
        plot = slider.locator("..").bounding_box()
        y, start = plot["y"] + 40, slider.bounding_box()
        page.mouse.move(start["x"] + start["width"] / 2, y)
        page.mouse.down()
        seen = [kept(page)]
        wire.reset()
        for share in (0.1, 0.2, 0.3):
            page.mouse.move(start["x"] - share * plot["width"], y, steps=8)
            page.wait_for_timeout(100)
            seen.append(kept(page))
        assert wire.messages == 0
        assert [float(s) for s in seen] == sorted(map(float, seen), reverse=True)
        assert len(set(seen)) == 4
        assert finding(page) == begun

        # Let go: one message, and the server says the same numbers.
        page.mouse.up()
        agree(page)
        assert wire.messages == 1
        assert 0 < wire.received <= MAX_BYTES
        assert kept(page) == seen[-1]
        assert "By+hand" in page.url or "By%20hand" in page.url
        typed = float(page.get_by_label("The line is at", exact=True).input_value())
        assert typed == pytest.approx(float(slider.get_attribute("aria-valuenow")))

        # Keys move it too, and one message says where it came to rest.
        before = float(slider.get_attribute("aria-valuenow"))
        wire.reset()
        slider.focus()
        for key in ("ArrowRight", "ArrowRight", "PageUp"):
            page.keyboard.press(key)
        page.wait_for_function(
            "([slider, before]) => Number(slider.getAttribute('aria-valuenow')) > before",
            arg=[slider.element_handle(), before],
        )
        page.wait_for_timeout(600)
        agree(page)
        assert wire.messages == 1
        assert wire.received <= MAX_BYTES

        # The link gives the same line to somebody else.
        other = context.new_page()
        other.goto(page.url)
        other.get_by_role("slider", name="Threshold").wait_for()
        settle(other)
        assert (kept(other), finding(other)) == (kept(page), finding(page))
        assert errors == []


def test_a_finger_drags_the_line_on_a_phone(url: str):
    with browser(400, 900) as context:
        page = context.new_page()
        movable = [title for title, rule in RULES_BY_TITLE.items() if not rule.per_class]
        longest = max(movable, key=len)
        page.goto(f"{url}/threshold_lab?scorer=MSP&scale=ID+percentile&objective={quote(longest)}")
        slider = page.get_by_role("slider", name="Threshold")
        slider.wait_for(timeout=300_000)
        settle(page)
        chosen = page.get_by_role("combobox", name="What chooses the line")
        assert chosen.input_value() == longest
        assert chosen.evaluate("box => box.scrollWidth <= box.clientWidth")  # none of it is cut off
        slider.scroll_into_view_if_needed()
        plot = slider.locator("..").bounding_box()
        touch = context.new_cdp_session(page)
        y = plot["y"] + 60

        def finger(kind: str, share: float) -> None:
            points = (
                [] if kind == "touchEnd" else [{"x": plot["x"] + share * plot["width"], "y": y}]
            )
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        finger("touchStart", 0.9)
        for share in (0.88, 0.8, 0.7, 0.6, 0.5):
            finger("touchMove", share)
        finger("touchEnd", 0.5)
        page.wait_for_timeout(300)
        agree(page)
        assert float(kept(page)) == pytest.approx(
            50, abs=2
        )  # the middle of an axis of ID percentiles
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
