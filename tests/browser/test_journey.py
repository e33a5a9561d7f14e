"""One journey in a real browser: train in the plane, share the link, look at real features."""

from __future__ import annotations

import pytest

from heat_core.detectors.presets import DETECTORS
from tests.browser.driver import JOURNEY, ROOT, all_scored, browser, settle

pytestmark = JOURNEY


def test_train_share_and_compare(url: str):
    with browser() as context:
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{url}/?toy=moons&preset=quick")
        settle(page)
        page.get_by_role("button", name="Train HEAT").click()
        page.get_by_text("Modes kept").wait_for(timeout=240_000)
        settle(page)
        finding = page.get_by_text("closer to the truth").inner_text()
        assert page.locator(".js-plotly-plot").count() == 6  # four landscapes, two curves

        other = context.new_page()  # the same link in another tab finds the same training
        other.goto(page.url)
        other.get_by_text("Modes kept").wait_for()
        assert other.get_by_text("closer to the truth").inner_text() == finding

        page.get_by_role("link", name="Detectors").click()
        all_scored(page)
        assert page.locator(".js-plotly-plot").count() == len(DETECTORS) + 1  # and the ROC curves
        assert page.get_by_text("lets the least OOD pass").count() == 1
        assert page.locator('[data-testid="stException"]').count() == 0
        assert errors == []


CONTRAST = """() => {
    const light = colour => {
        const [r, g, b] = colour.match(/[\\d.]+/g).map(Number)
            .map(part => part / 255).map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const style = where => getComputedStyle(document.querySelector(where));
    return [light(style('h1').color), light(style('[data-testid="stApp"]').backgroundColor)];
}"""


@pytest.mark.parametrize(("width", "dark"), [(1440, False), (400, True)])
def test_every_room_opens_at_an_address_of_its_name_in_either_light(
    url: str, width: int, dark: bool
):
    with browser(width, dark=dark) as context:
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for path in sorted((ROOT / "app" / "views").glob("[!_]*.py")):
            page.goto(f"{url}/{path.stem}?toy=rings")
            page.get_by_role(
                "heading", name=path.stem.replace("_", " ").capitalize(), exact=True
            ).wait_for()
            assert page.get_by_text("Page not found").count() == 0
            if path.stem == "toy_lab":
                page.get_by_text(
                    "Rings: 4,000 training points"
                ).wait_for()  # what the link says is not lost on the way
            ink, paper = page.evaluate(CONTRAST)
            assert (ink > paper) == dark
            assert (max(ink, paper) + 0.05) / (
                min(ink, paper) + 0.05
            ) >= 7  # what WCAG asks of text, at its strictest
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.locator('[data-testid="stException"]').count() == 0
        assert errors == []
        assert [
            address for address in asked if not address.startswith((url, "data:", "blob:"))
        ] == []  # nobody else is asked
