"""In a real browser: the demo by keyboard and by link, and one's own data through the head of a room."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from app.demo import story
from tests.browser.driver import WITH_A_PACK, browser, settle

pytestmark = WITH_A_PACK


def test_the_demo_is_told_by_arrow_keys_and_a_step_is_a_link(url: str):
    with browser(width=1280) as context:
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{url}/demo?step=3")
        page.get_by_role("heading", name="3. Round bowls are not enough").wait_for()
        settle(page)
        page.keyboard.press("ArrowRight")
        page.get_by_role("heading", name="4. A learned correction").wait_for()
        settle(page)
        assert page.locator(".js-plotly-plot").count() == 3
        assert "step=4" in page.url
        page.locator("[data-testid=stBaseButton-primary]", has_text="Next").click()
        page.get_by_role("heading", name="5. Choose the line").wait_for()
        for _ in range(4):
            settle(page)
            page.keyboard.press("ArrowLeft")
        page.get_by_role("heading", name="1. Sure, and wrong").wait_for()
        settle(page)
        assert page.get_by_role("button", name="Back").is_disabled()
        page.go_back()
        page.get_by_role("heading", name="2. Energy says").wait_for()
        settle(page)
        page.keyboard.press("ArrowLeft")
        page.get_by_role("heading", name="1. Sure, and wrong").wait_for()
        settle(page)
        pictures = page.locator('[data-testid="stImage"] img')
        assert pictures.count() == story.PICTURES
        assert all(
            "A picture of" in (pictures.nth(i).get_attribute("alt") or "")
            for i in range(story.PICTURES)
        )
        page.get_by_role("button", name="Glossary").click()
        page.get_by_text("Out-of-distribution (OOD)", exact=True).wait_for()
        page.set_viewport_size({"width": 400, "height": 900})
        page.wait_for_timeout(500)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        assert errors == []


def test_own_data_good_and_bad_and_back(url: str, tmp_path: Path, arrays: dict):
    np.savez(tmp_path / "good.npz", **arrays)
    (tmp_path / "bad.npz").write_bytes(b"no arrays at all")
    with browser() as context:
        page = context.new_page()
        page.goto(f"{url}/threshold_lab")
        page.get_by_role("button", name="5,000 of 45,000 training rows").click()
        upload = page.locator('[data-testid="stFileUploader"] input[type="file"]')
        upload.set_input_files(tmp_path / "bad.npz")
        page.get_by_text("bad.npz: not a whole npz file").wait_for()
        upload.set_input_files(tmp_path / "good.npz")
        page.get_by_text("What was found in good").wait_for()
        page.get_by_role("button", name="Yours: good: 240 training rows").wait_for()
        page.keyboard.press("Escape")
        page.get_by_text("of ID and catches").first.wait_for(timeout=300_000)

        other = context.new_page()  # another session: the server's data
        other.goto(f"{url}/threshold_lab")
        other.get_by_role("button", name="5,000 of 45,000 training rows").wait_for()

        page.get_by_role("button", name="Yours: good").click()
        page.get_by_role("button", name="Back to the server's data").click()
        page.get_by_role("button", name="5,000 of 45,000 training rows").wait_for()
        assert page.locator('[data-testid="stException"]').count() == 0
