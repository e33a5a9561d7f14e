"""In a real browser: texts of a pack that try to be code, or to break a page, are shown as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest

from heat_core.pack import pack_from_arrays, write_pack
from heat_core.thresholds import RULES
from tests.browser.driver import JOURNEY, browser, page_names, server_process, settle, watch_errors

pytestmark = JOURNEY

SCRIPT = "<script>window.ran=1</script><img src=x onerror=window.ran=2>"
LINK = "](javascript:window.ran=3) [x](javascript:window.ran=4) <a href='javascript:ran=5'>y</a>"
LONG = "W" * 10_000
TURNED = "\u202egnp.exe\u2066 \u05e9\u05dc\u05d5\u05dd\u200f"
LINES = "one\n\n# two\n\n```\n$$\\frac{three}$$\n---\r\n:material/home: :red[four]"
TEXTS = (SCRIPT, LINK, LONG, TURNED + LINES)
FOLDER = "<img src=x onerror=window.ran=6>"
FAR = "far_" + "\u05e9" * 56  # as long as the name of a set may be
WIDTH = 1280
# A server that knows one detector, so that its pages are ready at once.
START = """
from app import server
from heat_core.detectors import presets
from streamlit.web.cli import main

server.warm_up = lambda: None
presets.DETECTORS = {name: presets.DETECTORS[name] for name in ("MSP", "MoG")}
main()
"""
PER_CLASS = next(rule.title for rule in RULES.values() if rule.per_class)
# What each page of the pack is opened at, and what it shows last.
LINKS = {
    "detectors": {},
    "threshold_lab": {"objective": PER_CLASS, "item": "test/3"},
    "feature_map": {"colour": "class", "item": "near_a/3"},
    "monitor": {},
}
SHOWN_LAST = {
    "detectors": "MoG catches",
    "threshold_lab": "The nearest training images",
    "feature_map": "The nearest training images",
    "monitor": "Who noticed when",
}
SIGNS = """() => ({
    ran: window.ran ?? null,
    links: [...document.querySelectorAll('a')].filter(a => a.href.startsWith('javascript')).length,
    icons: [...document.querySelectorAll('span')].filter(s => s.textContent === 'home').length,
    images: document.querySelectorAll('img[src="x"], img[onerror]').length,
    failures: document.querySelectorAll('[data-testid="stException"]').length,
    width: document.documentElement.scrollWidth,
})"""
HARMLESS = {"ran": None, "links": 0, "icons": 0, "images": 0, "failures": 0, "width": WIDTH}


def _card() -> dict[str, object]:
    """Returns a card whose every text is hostile."""
    names = ("train", "test", "near_a", "near_b", "mid_c", FAR)
    sets = {
        name: {
            "title": TEXTS[i % 4],
            "source": TEXTS[(i + 1) % 4],
            "licence": LINK,
            "stands_in_for": SCRIPT,
            "skipped_files": LINES,
        }
        for i, name in enumerate(names)
    }
    architecture = {"model": f"{SCRIPT} {LINK}"}
    return {
        "title": f"{SCRIPT} {LINK} {TURNED}{LINES} {LONG}",
        "classes": list(TEXTS),
        "classifier": {"architecture": architecture, "test_accuracy": 0.5},
        "sets": sets,
    }


@pytest.fixture
def hostile_url(
    arrays: Mapping[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The address of a server that offers a pack of hostile texts, with a map."""
    renamed = {FAR if key == "far_d" else key: array for key, array in arrays.items()}
    random = np.random.default_rng(0)
    features = [key for key in renamed if key.endswith("_z") or key[:3] in ("nea", "mid", "far")]
    maps = {f"{key}__map": random.normal(size=(len(renamed[key]), 2)) for key in features}
    pack = replace(pack_from_arrays({**renamed, **maps}), card=_card())
    write_pack(pack, tmp_path / FOLDER)
    monkeypatch.setenv("HEAT_PACKS", str(tmp_path))
    with server_process("-c", START) as (url, _):
        yield url


def test_hostile_texts_of_a_pack_are_shown_as_text_on_every_page(hostile_url: str) -> None:
    with browser(WIDTH) as context:
        page = context.new_page()
        errors = watch_errors(page)
        page.on("dialog", lambda dialog: errors.append(dialog.message))
        for name in page_names():
            link = urlencode({"pack": FOLDER, **LINKS.get(name, {})})
            page.goto(f"{hostile_url}/{name}?{link}")
            title = name.replace("_", " ").capitalize()
            page.get_by_text(SHOWN_LAST.get(name, title)).first.wait_for()
            settle(page, 0)
            assert page.evaluate(SIGNS) == HARMLESS, name
            assert page.locator('[data-testid="stAlertContentError"]').count() == 0, name
        page.goto(f"{hostile_url}/detectors?{urlencode({'pack': FOLDER})}")
        page.get_by_role("button", name=SCRIPT[:20]).click()
        page.get_by_text(f"What was found in {SCRIPT[:40]}").wait_for()
        assert page.evaluate(SIGNS) == HARMLESS
        assert errors == []
