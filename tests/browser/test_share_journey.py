"""A journey in a real browser: train in the plane, share the link, look at real features."""

from __future__ import annotations

from heat_core.detectors.presets import FIRST_DETECTORS
from tests.browser.driver import JOURNEY, all_scored, browser, settle, watch_errors

pytestmark = JOURNEY


def test_train_share_and_compare(url: str):
    with browser() as context:
        page = context.new_page()
        errors = watch_errors(page)
        page.goto(f"{url}/?toy=moons&preset=quick")
        settle(page)
        page.get_by_role("button", name="Train HEAT").click()
        page.get_by_text("Modes kept").wait_for(timeout=240_000)
        settle(page)
        finding = page.get_by_text("closer to the truth").inner_text()
        assert page.locator(".js-plotly-plot").count() == 6  # four landscapes, two curves

        other_tab = context.new_page()  # the same link in another tab finds the same training
        other_tab.goto(page.url)
        other_tab.get_by_text("Modes kept").wait_for()
        assert other_tab.get_by_text("closer to the truth").inner_text() == finding

        page.get_by_role("link", name="Detectors").click()
        all_scored(page)
        lines = page.get_by_role("slider", name="Line of ")
        assert lines.count() == len(FIRST_DETECTORS)
        assert page.locator(".js-plotly-plot").count() == 1  # the ROC curves
        assert page.get_by_text("lets the least OOD pass").count() == 1
        assert page.locator('[data-testid="stException"]').count() == 0
        assert errors == []
