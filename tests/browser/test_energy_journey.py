"""A journey in a real browser: train a classifier, drag its temperature, draw, fine-tune."""

from __future__ import annotations

import re

import pytest

from tests.browser.driver import JOURNEY, Wire, browser, button, settle, watch_errors

pytestmark = JOURNEY

FRAMES = """async line => {
    const box = line.closest('.track').getBoundingClientRect(), y = box.top + 10;
    const send = (type, x) => line.dispatchEvent(new PointerEvent(type, {
        clientX: x, clientY: y, pointerId: 1, pointerType: 'mouse', button: 0, bubbles: true }));
    line.closest('.track').setPointerCapture = () => {};
    send('pointerdown', box.left + 10);
    const texts = new Set();
    for (let i = 1; i <= 20; i++) {
        send('pointermove', box.left + 10 + i * box.width / 30);
        await new Promise(requestAnimationFrame);
        await new Promise(requestAnimationFrame);
        texts.add(line.getAttribute('aria-valuetext'));
    }
    send('pointerup', box.left + 10 + 20 * box.width / 30);
    return [...texts];
}"""


def test_train_drag_the_temperature_draw_and_fine_tune(url: str) -> None:
    with browser() as context:
        page = context.new_page()
        errors = watch_errors(page)
        wire = Wire(page)
        page.goto(f"{url}/energy?toy=blobs")
        settle(page)
        button(page, "Train the classifier").click()
        line = page.get_by_role("slider", name="Temperature of energy and softmax")
        line.wait_for(timeout=240_000)
        settle(page)

        wire.reset()
        texts = line.evaluate(FRAMES)
        assert len(texts) > 15  # the scores were computed anew at nearly every place
        page.wait_for_url(re.compile("T="))
        settle(page)
        assert wire.sent < 5_000
        shown = re.search(r"AUROC of the energy ([\d.]+) %", texts[-1])
        assert shown is not None
        typed = page.get_by_role("spinbutton", name="Temperature T").input_value()
        assert float(typed) == pytest.approx(float(texts[-1].split()[2][:-1]), rel=0.02)

        button(page, "Box").click()
        canvas = page.locator(".face canvas").first
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        assert box is not None
        corner = box["x"] + 0.85 * box["width"], box["y"] + 0.05 * box["height"]
        page.mouse.move(*corner)
        page.mouse.down()
        page.mouse.move(corner[0] + 0.1 * box["width"], corner[1] + 0.1 * box["height"], steps=4)
        page.mouse.up()
        page.wait_for_url(re.compile("drawn="))
        settle(page)
        margin = page.get_by_role("slider", name="m_out")
        before = margin.get_attribute("aria-valuenow")
        margin.press("PageUp")
        page.wait_for_url(re.compile("margins="))
        settle(page)
        assert margin.get_attribute("aria-valuenow") != before
        button(page, "Fine-tune").click()
        page.get_by_text("beyond their margins").first.wait_for(timeout=240_000)
        settle(page)
        assert page.locator('[data-testid="stException"]').count() == 0
        assert errors == []
