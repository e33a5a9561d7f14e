"""In a real browser: axe finds no serious fault of accessibility on any page, light or dark."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from tests.browser.driver import WITH_A_PACK, browser, button, page_names, settle

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = WITH_A_PACK

LINKS = {  # a seed that no other journey trains with, on the server that they share
    "toy_lab": "?toy=blobs&detector=MoG&seed=41",
    "landscape": "landscape?toy=blobs&detector=MoG&seed=41",
    "energy": "energy?toy=blobs&seed=41",
    "detectors": "detectors",
    "threshold_lab": "threshold_lab?scorer=MSP",
    "monitor": "monitor?scorer=MSP",
}
TRAINED_BY = {"toy_lab": "Train MoG", "landscape": "Train MoG", "energy": "Train the classifier"}
SHOWN_LAST = {
    "toy_lab": "Modes kept",
    "landscape": "log Z",
    "energy": "Fine-tuning with auxiliary",
    "detectors": "catches",
    "threshold_lab": "Which images sit at the line",
    "monitor": "Who noticed when",
}
VIOLATIONS = """async () => {
    const found = await axe.run(document, { resultTypes: ['violations'] });
    return found.violations
        .filter(({ impact }) => impact === 'serious' || impact === 'critical')
        .flatMap(({ id, nodes }) => nodes.map(({ target }) => [id, target.flat().join(' ')]));
}"""


def _open(page: Page, url: str, name: str) -> None:
    """Opens a page with all that it shows, trained where that is needed."""
    page.goto(f"{url}/{LINKS.get(name, name)}")
    settle(page)
    if name in TRAINED_BY and button(page, TRAINED_BY[name]).count():
        button(page, TRAINED_BY[name]).click()
    if name in SHOWN_LAST:
        page.get_by_text(SHOWN_LAST[name]).first.wait_for(timeout=300_000)
    settle(page)


def test_axe_finds_no_serious_fault_on_any_page_in_either_light(url: str) -> None:
    axe = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    found: dict[str, list] = {}
    with browser(height=900) as context:
        page = context.new_page()
        for name in page_names():
            _open(page, url, name)
            page.evaluate(axe)
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                settle(page)
                found[f"{name}, {scheme}"] = page.evaluate(VIOLATIONS)
            page.emulate_media(color_scheme="light")
    assert {where: faults for where, faults in found.items() if faults} == {}
