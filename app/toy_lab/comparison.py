"""MoG, EBM and HEAT side by side, as in the paper's second figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from app.job import Job
from app.pack.progress import show_failure
from app.plane.panels import PanelTitle
from app.plane.state import COMPARED_DETECTORS, ToyPreview, leave_training, start_training
from app.plane.training import TOTAL, Snapshot, ToyChoice
from app.toy_lab.panels import TITLES, energy_panel

if TYPE_CHECKING:
    from heat_core.plane.grid import Distance

BUDGET_CAPTION = (
    "This preset teaches the EBM without MCMC, against noise spread over the whole square, "
    "so it finds every mode. The paper teaches it by short MCMC runs from N(0, I), where it loses "
    "most of them: a matter of the sampling budget."
)

COLUMNS = 1 + len(COMPARED_DETECTORS)  # the truth and the detectors
MUCH_FURTHER = 2.0  # times as far from the truth: a difference that the headline names


def comparison_choices(choice: ToyChoice) -> dict[str, ToyChoice]:
    """Returns {detector: choice} of what the paper's second figure shows."""
    return {name: replace(choice, detector=name) for name in COMPARED_DETECTORS}


def comparison_buttons(choices: Mapping[str, ToyChoice], jobs: Mapping[str, Job | None]) -> None:
    """Offers to train what is not trained, and to stop what is under way."""
    missing = []
    under_way = []
    for name, job in jobs.items():
        if job is None or job.state in ("failed", "cancelled"):
            missing.append(choices[name])
        elif not job.over:
            under_way.append(choices[name])
    with st.container(horizontal=True):
        if missing:
            st.button(
                f"Train {', '.join(choice.detector for choice in missing)}",
                type="primary",
                icon=":material/play_arrow:",
                on_click=_for_each,
                args=(start_training, missing),
            )
        if under_way:
            st.button(
                "Cancel",
                icon=":material/stop:",
                on_click=_for_each,
                args=(leave_training, under_way),
            )


def _for_each(act: Callable[[ToyChoice], None], choices: Sequence[ToyChoice]) -> None:
    for choice in choices:
        act(choice)


def comparison(choice: ToyChoice, preview: ToyPreview, jobs: Mapping[str, Job | None]) -> None:
    """Shows the truth and the detectors' totals side by side."""
    distances = {
        name: job.result.distance
        for name, job in jobs.items()
        if job is not None and job.state == "done"
    }
    if len(distances) == len(COMPARED_DETECTORS):
        _kept_modes(choice, distances)
    truth_column, *columns = st.columns(COLUMNS)
    with truth_column:
        energy_panel("truth", TITLES["truth"], preview, preview.true_energy, COLUMNS)
    for column, (name, job) in zip(columns, jobs.items(), strict=True):
        with column:
            _detector_panel(replace(choice, detector=name), job, preview)


def _detector_panel(choice: ToyChoice, job: Job | None, preview: ToyPreview) -> None:
    """Shows the total of one detector, as far as its training is."""
    name = choice.detector
    snapshot = _last_snapshot(job)
    if snapshot is None:
        meaning = "still to come"
    else:
        distance = job.result.distance if job and job.result else snapshot.distance
        meaning = (
            f"KL {distance.kl:.3f} nats, {distance.modes_kept} of {distance.modes_total} modes"
        )
    if job is not None and not job.over:
        meaning += f", {job.state} {job.progress:.0%}"
    total = snapshot.layers[TOTAL] if snapshot else None
    energy_panel(name, PanelTitle(name, meaning), preview, total, COLUMNS)
    show_failure(job, start_training, choice)


def _last_snapshot(job: Job | None) -> Snapshot | None:
    if job is None:
        return None
    if job.result:
        return job.result.snapshot
    return job.frames[-1] if job.frames else None


def furthest_text(distances: Mapping[str, Distance]) -> str:
    """Returns how much further from the truth the worst model is, where that is much."""
    closest = min(distances, key=lambda name: distances[name].kl)
    furthest = max(distances, key=lambda name: distances[name].kl)
    ratio = distances[furthest].kl / max(distances[closest].kl, 1e-9)
    if ratio < MUCH_FURTHER:
        return ""
    return f", but {furthest} is {ratio:.0f} times further from the truth than {closest}"


def _kept_modes(choice: ToyChoice, distances: Mapping[str, Distance]) -> None:
    """Says which models keep the modes, by the figures."""
    total = distances["MoG"].modes_total
    losers = [name for name, distance in distances.items() if distance.modes_kept < total]
    if not losers:
        finding = f"All three keep every mode{furthest_text(distances)}"
    elif len(losers) == 1:
        finding = f"{losers[0]} loses modes"
    else:
        finding = f"{' and '.join(losers)} lose modes"
    counts = [
        f"{name} keeps {distance.modes_kept} of {total}" for name, distance in distances.items()
    ]
    st.subheader(f"{finding}: {', '.join(counts)}.")
    if choice.preset != "paper" and "EBM" not in losers:
        st.caption(BUDGET_CAPTION)
