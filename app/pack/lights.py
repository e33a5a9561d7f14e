"""The light of a diagnosis: whether a learned energy can be trusted, as a badge with its reason."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from app.job import Job
from app.pack.scores import ScoringJobs
from app.text import plain

if TYPE_CHECKING:
    from heat_core.diagnostics import Diagnosis


@dataclass(frozen=True)
class LightBadge:
    """How a light of the diagnosis is shown.

    Args:
        colour: of its badge, as Streamlit calls it.
        icon: a Material symbol.
        text: what it means, in a word or two.
    """

    colour: str
    icon: str
    text: str


LIGHTS = {
    "green": LightBadge("green", "check_circle", "Sound"),
    "amber": LightBadge("orange", "warning", "With care"),
    "red": LightBadge("red", "dangerous", "Not to be trusted"),
}


def light_sentence(diagnosis: Diagnosis, detector: str = "") -> str:
    """Returns the light of a diagnosis with its reason, in Markdown.

    Args:
        detector: whose it is, where that must be said.
    """
    light = LIGHTS[diagnosis.light]
    badge = f":{light.colour}-badge[:material/{light.icon}: {light.text}]"
    name = f"**{plain(detector)}**: " if detector else ""
    return f"{badge} {name}{plain(diagnosis.reason)}"


def show_lights(job: Job | ScoringJobs, detectors: Collection[str] = ()) -> None:
    """Shows the lights of the learned detectors that are ready, a line each.

    Args:
        detectors: whose; of all that are shown if there are none.
    """
    lines = [
        light_sentence(detector_scores.diagnosis, detector_scores.detector)
        for detector_scores in list(job.frames)
        if detector_scores.diagnosis is not None
        and (not detectors or detector_scores.detector in detectors)
    ]
    if lines:
        st.markdown("  \n".join(lines))
