"""Journeys in a real browser through the Toy lab and the Landscape: train, pause, leave, return, scrub, click, share."""

from __future__ import annotations

import re

import pytest

from tests.browser.driver import JOURNEY, browser, server, settle

pytestmark = JOURNEY


def _button(page, name: str):
    return page.get_by_role("button", name=name, exact=True)


def _snapshot(page) -> int:
    """Returns after which snapshot the training is paused."""
    said = page.get_by_text("Paused after snapshot")
    said.wait_for()
    found = re.search(r"snapshot (\d+)", said.inner_text())
    assert found is not None
    return int(found[1])


def test_train_pause_leave_return_scrub_and_click(url: str):
    with browser() as context:
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{url}/?toy=crosses9")
        settle(page)
        _button(page, "Train HEAT").click()
        page.get_by_text(re.compile(r"Training HEAT: \d+%, KL")).wait_for()
        _button(page, "Pause").click()
        paused = _snapshot(page)
        page.wait_for_timeout(2000)
        assert _snapshot(page) == paused
        _button(page, "Step").click()
        page.get_by_text(f"Paused after snapshot {paused + 1}").wait_for()

        other = context.new_page()  # the same link in another tab finds the training where it is
        other.goto(page.url)
        assert _snapshot(other) >= paused + 1
        _button(other, "Cancel").click()  # and may leave it without a loss to the first
        other.get_by_text("It goes on for 1 more who watches").wait_for()
        other.close()

        page.get_by_role("link", name="Landscape").click()
        assert _snapshot(page) == paused + 1
        page.get_by_role("link", name="Toy lab").click()
        assert _snapshot(page) == paused + 1
        _button(page, "Play").click()
        page.get_by_text("Modes kept").wait_for(timeout=240_000)
        settle(page)
        page.get_by_role("slider", name="Snapshot").press("ArrowLeft")
        page.wait_for_url(re.compile("snapshot=step"))
        settle(page)
        again = context.new_page()
        again.goto(page.url)
        again.get_by_text("Modes kept").wait_for()
        assert again.url == page.url
        again.close()

        page.get_by_role("link", name="Landscape").click()
        page.get_by_text("Largest |E_θ|").wait_for()
        settle(page)
        said = page.locator("h3").first
        before = said.inner_text()
        box = page.locator(".panels canvas").nth(2).bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + 0.78 * box["width"], box["y"] + 0.23 * box["height"])
        page.wait_for_url(re.compile(r"x=.*y=|y=.*x="))
        page.wait_for_function(
            "before => document.querySelector('h3').innerText !== before", arg=before
        )
        assert "verdict" in said.inner_text()
        shared = context.new_page()
        shared.goto(page.url)
        shared.get_by_text(said.inner_text()).wait_for()
        shared.close()

        page.get_by_text("surface", exact=True).click()
        raised = page.locator("canvas[aria-label*='Arrow keys turn it']")
        raised.nth(2).wait_for()
        settle(page)
        before = said.inner_text()
        raised.nth(2).click()
        page.wait_for_function(
            "before => document.querySelector('h3').innerText !== before", arg=before
        )
        assert page.locator(".gl-container canvas").count() == 0  # no WebGL is asked for
        assert page.locator('[data-testid="stException"]').count() == 0
        assert errors == []


def test_two_train_undisturbed_and_a_third_waits_in_line():
    under_way, in_line = re.compile(r"Training HEAT: \d+%"), "Waiting: number 1 in line"
    with server() as own, browser() as context:  # an app of its own: what others fit takes a place
        first, second, third = pages = [context.new_page() for _ in range(3)]
        for seed, page in enumerate(pages):
            page.goto(f"{own}/?toy=blobs&preset=best&seed={seed}")
            _button(page, "Train HEAT").wait_for()
        for page, said in zip(pages, (under_way, under_way, in_line), strict=True):
            _button(page, "Train HEAT").click()
            page.get_by_text(said).wait_for()

        _button(first, "Cancel").click()
        first.get_by_text("Training was cancelled.").wait_for()
        third.get_by_text(under_way).wait_for()
        assert second.get_by_text(under_way).count() == 1  # nobody else's training was touched
        assert second.get_by_text("Training was cancelled.").count() == 0


@pytest.mark.parametrize("room", ["", "landscape"])
def test_a_phone_is_wide_enough(url: str, room):
    with browser(width=400) as context:
        page = context.new_page()
        page.goto(f"{url}/{room}?toy=blobs&preset=quick&job=toy.blobs.HEAT.quick.0&chains=true")
        page.get_by_text("log Z" if room else "Acceptance").first.wait_for(timeout=240_000)
        settle(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
