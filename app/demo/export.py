"""The demo as one HTML file: it shows every slide, fetches nothing and needs no server."""

from __future__ import annotations

from app.components.stage import as_json_script, script_and_style, stage_data
from app.demo.slides import data_sentence, slide_data
from app.demo.story import Story
from heat_core.results.markup import Html, document, element
from heat_core.texts import one_line

ALLOWED = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
STYLE = """
:root {
  color-scheme: light dark;
  --st-font: system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif;
  --st-base-radius: 0.5rem;
  --st-primary-color: #0072b2; --st-background-color: #ffffff; --st-text-color: #0c1620;
  --st-secondary-background-color: #f4f6f8; --st-border-color: #dde3e9;
}
@media (prefers-color-scheme: dark) {
  :root {
    --st-primary-color: #4ba3e3; --st-background-color: #11161c; --st-text-color: #e7edf3;
    --st-secondary-background-color: #1b222b; --st-border-color: #303a45;
  }
}
body {
  margin: 0; padding: 1rem clamp(0.75rem, 2.5vw, 3rem) 0;
  background: var(--st-background-color);
}
"""
START = """
mount_stage({
  parentElement: document.body,
  data: JSON.parse(document.getElementById("data").textContent),
  setTriggerValue: () => {},
});
"""


def html_file(story: Story) -> str:
    """Returns the demo as one HTML page, about 300 KB, that fetches nothing."""
    html, style, script = script_and_style()
    slides = slide_data(story)
    for slide in slides:
        slide["source"] = f"{slide['source']} {data_sentence(story)}"
    data = as_json_script(stage_data(slides, [], 1, "file"))
    body = element(
        "body",
        Html(html),
        element("script", Html(data), type="application/json", id="data"),
        element("script", Html(script + START), type="module"),
    )
    title = f"HEAT, told on {one_line(story.card.pack_title, 120)}"
    return document(title, STYLE + style, body, ALLOWED)
