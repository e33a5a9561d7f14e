"""Fine-tuning: auxiliary points and margins to choose, the training live, before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import streamlit as st

from app import figures
from app.components.margin_lines import Margins, margin_data, margin_lines
from app.components.scatter_map import (
    WHOLE,
    Drawing,
    Legend,
    MapPicture,
    Window,
    scatter_map,
)
from app.energy.controls import auxiliary_choice, margin_inputs, weight_input
from app.energy.figures import confidence_map, course, energy_map, energy_range
from app.energy.panels import ID_AND_OOD, map_axis
from app.energy.state import (
    AROUND,
    current_margins,
    forget_margins,
    forget_polygons,
    points_to_read,
    points_to_train_on,
    set_margins,
    set_polygons,
    start_tuning,
    watch_tuning,
)
from app.energy.training import (
    AuxiliaryChoice,
    ClassifierChoice,
    ClassifierResult,
    ClassifierSnapshot,
    TuningChoice,
    Values,
    accuracy_note,
    snapshot_of,
)
from app.figures import COLOURS, WHITE
from app.job import Job
from app.pack.progress import show_failure
from app.plane.panels import follow_training
from app.plane.polygons import drawn_polygon, map_outlines
from app.plane.rendering import energy_map_png
from app.plane.replay import show_replayed, snapshot_slider
from app.plane.state import ToyPreview, is_gone, is_shown_whole
from app.text import number_text, plain

REPLAY_KEY = "tuning-step"
WINDOW_KEY = "auxiliary-window"


@dataclass(frozen=True, eq=False)
class TuningStart:
    """What a fine-tuning begins with.

    Args:
        result: the trained classifier.
        before: what it says of ID and of the auxiliary points.
        preview: of the toy.
    """

    result: ClassifierResult
    before: ClassifierSnapshot
    preview: ToyPreview


def tuning_section(classifier: ClassifierChoice, result: ClassifierResult, preview: ToyPreview):
    """Shows fine-tuning in whatever state it is."""
    st.header("Fine-tuning with auxiliary OOD points")
    st.caption(
        "Cross-entropy + λ (mean relu(E(ID) - m_in)² + mean relu(m_out - E(auxiliary))²): ID "
        "energies are pushed below one margin, auxiliary ones above another (Liu et al. 2020)."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        auxiliary = auxiliary_choice(classifier.toy)
        weight = weight_input()
    map_column, margins_column = st.columns([2, 3])
    with map_column:
        start = _auxiliary_map(classifier, auxiliary, result, preview)
    if start is None:
        return
    with margins_column:
        choice, job = _choice_and_job(classifier, auxiliary, weight, start)
    if choice is None:
        return
    if job is not None and not is_shown_whole(job):
        _live_tuning(choice, job, start)
    elif job is not None and job.state == "done":
        show_replayed([choice], partial(_finished_tuning, choice, job, start), REPLAY_KEY)
    else:
        show_failure(job, start_tuning, choice)


# -- what it is to learn from ----------------------------------------------------------------------


def _auxiliary_map(
    classifier: ClassifierChoice,
    auxiliary: AuxiliaryChoice,
    result: ClassifierResult,
    preview: ToyPreview,
) -> TuningStart | None:
    """Shows the auxiliary points on the energy, where one can draw some of one's own.

    Returns what a fine-tuning begins with; None once it has said why the points are refused.
    """
    try:
        points = points_to_train_on(classifier.toy, classifier.seed, auxiliary).numpy()
        reading = points_to_read(classifier.toy, classifier.seed, auxiliary)
    except ValueError as error:
        points, reading = np.zeros((0, 2), np.float32), None
        refusal = str(error)
    _draw_map(auxiliary, result.snapshot, preview, points)
    if auxiliary.kind == "drawn":
        st.button("Clear the drawing", icon=":material/delete:", on_click=forget_polygons)
    if reading is None:
        st.error(plain(refusal), icon=":material/error:")
        return None
    before = result.snapshot
    if auxiliary != AROUND:
        before = snapshot_of(result.classifier, reading)
    return TuningStart(result, before, preview)


def _draw_map(
    auxiliary: AuxiliaryChoice, snapshot: ClassifierSnapshot, preview: ToyPreview, points: Values
) -> None:
    extent = preview.extent

    def on_draw(drawing: Drawing) -> None:
        drawn_before = auxiliary.polygons if drawing.adds or drawing.kind == "spot" else ()
        set_polygons((*drawn_before, drawn_polygon(drawing)))

    def on_move(window: Window) -> None:
        st.session_state[WINDOW_KEY] = window

    window = st.session_state.get(WINDOW_KEY, WHOLE)
    heights_range = energy_range([snapshot.energy, snapshot.id_energy])
    picture = MapPicture(
        energy_map_png(
            snapshot.energy, heights_range, preview.points / extent, points / extent, window
        ),
        1.0,
        window,
        f"Energy over the plane with {len(points):,} auxiliary points; draw a region to make "
        "auxiliary points of your own.",
        map_outlines(auxiliary.polygons),
        (),
        Legend(
            "Draw a region, or click, for auxiliary points of your own",
            ((WHITE, "●", "ID"), (COLOURS["near"], "●", "auxiliary")),
        ),
    )
    scatter_map(picture, on_draw, on_move, key="auxiliary-map")


# -- margins ---------------------------------------------------------------------------------------


def _choice_and_job(
    classifier: ClassifierChoice, auxiliary: AuxiliaryChoice, weight: float, start: TuningStart
) -> tuple[TuningChoice | None, Job | None]:
    """Shows margins to drag and to type, and the button.

    Returns the fine-tuning with its job; neither where the margins are refused.
    """
    from heat_core.training.classifier_objectives import (
        EnergyBounded,
        default_margins,
        margin_warnings,
    )

    before = start.before
    energies = before.id_energy, before.ood_energy
    default = default_margins(*energies)
    rounded = round(default[0], 1), round(default[1], 1)
    margins = current_margins(f"{classifier.key}.{auxiliary.key}", rounded)
    place = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        margin_inputs(margins)
        st.button("Pretrained means", type="tertiary", on_click=forget_margins)
    try:
        EnergyBounded(weight, *margins)
    except ValueError:
        st.error(
            f"m_in must not lie above m_out, got {margins[0]:g} and {margins[1]:g}.",
            icon=":material/error:",
        )
        return None, None
    choice = TuningChoice(classifier, auxiliary, *margins, weight)
    job = watch_tuning(choice)
    with place:
        _margins_shown(job, start, margins)
    for warning in margin_warnings(*energies, *margins):
        st.warning(plain(warning), icon=":material/warning:")
    if job is None or job.state in ("failed", "cancelled"):
        st.button(
            "Fine-tune",
            type="primary",
            icon=":material/play_arrow:",
            on_click=start_tuning,
            args=(choice,),
        )
    return choice, job


def _margins_shown(job: Job | None, start: TuningStart, margins: Margins) -> None:
    """Shows the energies with their margins: before fine-tuning, or both before and after."""
    energies = start.before.id_energy, start.before.ood_energy
    tuned = job.result.snapshot if job is not None and job.state == "done" else None
    data = margin_data(
        *((tuned.id_energy, tuned.ood_energy) if tuned else energies),
        margins,
        ID_AND_OOD,
        before=energies if tuned else None,
    )
    margin_lines(data, "margin-lines", set_margins)


# -- the training ----------------------------------------------------------------------------------


@st.fragment(run_every=0.5)
def _live_tuning(choice: TuningChoice, job: Job, start: TuningStart) -> None:
    """Shows a fine-tuning under way."""
    if is_gone(choice) or is_shown_whole(job):
        st.rerun()
    snapshots = follow_training(choice, job, "the energy", accuracy_note)
    if snapshots:
        _before_and_after(start, snapshots[-1])
    _tuning_course(choice, snapshots, None)


def _finished_tuning(choice: TuningChoice, job: Job, start: TuningStart) -> None:
    """Shows what fine-tuning came to, and any snapshot on the way there."""
    result: ClassifierResult = job.result
    st.subheader(_finding(choice, start.result, result))
    snapshot = snapshot_slider(choice, job.frames, accuracy_note, REPLAY_KEY)
    record = snapshot.record if snapshot else None
    _before_and_after(start, snapshot or result.snapshot)
    _tuning_course(choice, job.frames, record.step if record else None)
    st.dataframe(
        _comparison_table(choice, start, result),
        hide_index=True,
        alt="Figures of the classifier before and after fine-tuning",
    )


def _finding(choice: TuningChoice, before: ClassifierResult, after: ClassifierResult) -> str:
    shares = _shares(choice, after.snapshot)
    return (
        f"{shares[0]:.1f} % of ID and {shares[1]:.1f} % of auxiliary points lie beyond their "
        f"margins; accuracy {100 * after.snapshot.accuracy:.1f} %, before "
        f"{100 * before.snapshot.accuracy:.1f} %. Far away the softmax is "
        f"{100 * after.far_confidence:.0f} % sure, and the energy "
        f"{number_text(after.far_energy, 1)}."
    )


def _shares(choice: TuningChoice, snapshot: ClassifierSnapshot) -> tuple[float, float]:
    """Returns how many percent of ID and of the auxiliary points lie beyond their margins."""
    from heat_core.plane.classifier import margin_shares

    shares = margin_shares(
        snapshot.id_energy, snapshot.ood_energy, choice.id_margin, choice.auxiliary_margin
    )
    return 100 * shares.inside, 100 * shares.auxiliary


def _before_and_after(start: TuningStart, after: ClassifierSnapshot) -> None:
    """Shows the energy before and now on the same colours, and the softmax now."""
    preview = start.preview
    axis = map_axis(preview)
    heights_range = energy_range([after.energy, after.id_energy])
    panels = (
        ("Energy before", energy_map(axis, start.before.energy, preview.points, heights_range)),
        ("Energy now", energy_map(axis, after.energy, preview.points, heights_range)),
        ("Softmax now", confidence_map(axis, after.confidence, preview.points, preview.modes)),
    )
    for column, (title, figure) in zip(st.columns(3), panels, strict=True):
        with column:
            st.markdown(f"**{title}**")
            st.plotly_chart(
                figure,
                key=f"tuning-{title}",
                alt=f"{title} fine-tuning, over the plane" if "before" in title else title,
                config=figures.QUIET,
            )


def _tuning_course(
    choice: TuningChoice, snapshots: Sequence[ClassifierSnapshot], marked_step: int | None
) -> None:
    """Shows accuracy, and how much lies beyond the margins, by training step."""
    recorded = [snapshot for snapshot in snapshots if snapshot.record]
    if len(recorded) < 2:
        return
    shares = [_shares(choice, snapshot) for snapshot in recorded]
    lines = {
        "accuracy": [100 * snapshot.accuracy for snapshot in recorded],
        "ID beyond m_in": [inside for inside, _ in shares],
        "auxiliary beyond m_out": [auxiliary for _, auxiliary in shares],
    }
    steps = [snapshot.record.step for snapshot in recorded if snapshot.record]
    st.plotly_chart(
        course(steps, lines, marked_step),
        key="tuning-course",
        alt="Accuracy and shares beyond the margins by training step, in percent",
        config=figures.QUIET,
    )


def _comparison_table(
    choice: TuningChoice, start: TuningStart, after: ClassifierResult
) -> pd.DataFrame:
    """Returns figures before and after fine-tuning, as texts."""
    from heat_core.metrics import separation

    before = start.result
    columns = {}
    for name, result, snapshot in (
        ("Before", before, start.before),
        ("After", after, after.snapshot),
    ):
        inside, auxiliary = _shares(choice, snapshot)
        parted = separation(snapshot.id_energy, snapshot.ood_energy)
        columns[name] = {
            "Accuracy": f"{100 * snapshot.accuracy:.1f} %",
            "ID beyond m_in": f"{inside:.1f} %",
            "Auxiliary points beyond m_out": f"{auxiliary:.1f} %",
            "AUROC of the energy": f"{100 * parted.auroc:.1f} %",
            "FPR95 of the energy": f"{100 * parted.fpr95:.1f} %",
            "Rank correlation of -E with log p": f"{result.correlations.energy:+.2f}",
            "Rank correlation of softmax with log p": f"{result.correlations.softmax:+.2f}",
            "Softmax far away": f"{100 * result.far_confidence:.1f} %",
            "Energy far away": f"{number_text(result.far_energy, 1)} nats",
        }
    return pd.DataFrame(columns).rename_axis("Figure").reset_index()
