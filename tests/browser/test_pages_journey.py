"""In a real browser: every page opens at the address of its name, light or dark, wide or narrow."""

from __future__ import annotations

import pytest

from tests.browser.driver import JOURNEY, browser, page_names, watch_errors

pytestmark = JOURNEY

CONTRAST = """() => {
    const linear = part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    const light = colour => {
        const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map(part => linear(part / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const style = selector => getComputedStyle(document.querySelector(selector));
    const ink = style('h1, h2').color, paper = style('[data-testid="stApp"]').backgroundColor;
    return [light(ink), light(paper)];
}"""
MIN_CONTRAST = 7  # what WCAG asks of text, at its strictest


@pytest.mark.parametrize(("width", "dark"), [(1440, False), (400, True)])
def test_every_page_opens_at_an_address_of_its_name_in_either_light(
    url: str, width: int, dark: bool
):
    names = page_names()
    assert len(names) >= 6
    with browser(width, dark=dark) as context:
        page = context.new_page()
        errors = watch_errors(page)
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        for name in names:
            page.goto(f"{url}/{name}?toy=rings")
            title = name.replace("_", " ").capitalize()
            page.get_by_role("heading", name=title, exact=True).wait_for()
            assert page.get_by_text("Page not found").count() == 0
            if name == "toy_lab":  # what the link says is not lost on the way
                page.get_by_text("Rings: 4,000 training points").wait_for()
            ink, paper = page.evaluate(CONTRAST)
            assert (ink > paper) == dark
            assert (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) >= MIN_CONTRAST
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.locator('[data-testid="stException"]').count() == 0
        assert errors == []
        foreign = [
            address for address in requests if not address.startswith((url, "data:", "blob:"))
        ]
        assert foreign == []  # nobody else is asked
