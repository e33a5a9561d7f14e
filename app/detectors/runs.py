"""Runs of one detector side by side: other seeds, or other presets, and how far they lie apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from app import figures
from app.detectors.evaluation import ScoreHistogram
from app.detectors.tables import runs_finding
from app.incoming import choice_input
from app.job import Job
from app.pack.data import PackData, leave_job, start_job, watched_job
from app.pack.own_data import result_keeper
from app.pack.progress import show_cancellable, show_failure
from app.pack.scores import ensure_scoring_job
from app.pack.tables import percent
from app.pack.work import DetectorScores, RunChoice, RunScores, runs_work
from app.session import is_asked_for_by_link
from app.text import plain
from heat_core.detectors.presets import APPROACHES, DETECTORS, PRESETS, domain_of
from heat_core.metrics import threshold_keeping
from heat_core.results.table import Table, tabulate
from heat_core.scores import SetScores

if TYPE_CHECKING:
    from app.pack.kept_results import ResultKeeper

SEEDS = range(5)
KINDS = ("seeds", "presets")
FIRST_PRESETS = ("modern", "quick")
COLUMNS = 3  # histograms side by side
DETECTOR_KEY, KIND_KEY, PRESETS_KEY = "runsof", "runs", "presets"  # in the link, too


@st.fragment
def show(pack_data: PackData, share_to_keep: float) -> None:
    """Offers to fit a detector that learns with other seeds or presets, and shows what came of it.

    Args:
        pack_data: the data; it has OOD sets.
        share_to_keep: the share of ID that each run's threshold keeps.
    """
    learned = [name for name in APPROACHES["learned"] if name in DETECTORS]
    if not learned:
        return
    title = "The same detector with other seeds and presets"
    panel = st.expander(
        title,
        expanded=is_asked_for_by_link(DETECTOR_KEY, KIND_KEY, PRESETS_KEY),
        icon=":material/casino:",
        key="runs-panel",
        on_change="rerun",
    )
    with panel:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            detector = _detector_input(learned)
            kind = choice_input("What differs", KINDS, default=KINDS[0], key=KIND_KEY)
            runs = _runs(pack_data, detector, kind)
        if not panel.open:  # the choice above stays; its table and figures are made once seen
            return
        if not runs:
            st.info("Choose a preset.", icon=":material/info:")
            return
        job = watched_job(pack_data, _job_key(pack_data, runs))
        if job is None:
            _offer(pack_data, runs)
        elif not show_failure(job, _start, pack_data, runs):
            _show_job(pack_data, job, detector, kind, share_to_keep)


def _detector_input(learned: Sequence[str]) -> str:
    if st.session_state.get(DETECTOR_KEY, learned[0]) not in learned:
        del st.session_state[DETECTOR_KEY]
    index = learned.index("HEAT") if "HEAT" in learned else len(learned) - 1
    return str(
        st.selectbox(
            "Detector",
            learned,
            index,
            key=DETECTOR_KEY,
            bind="query-params",
            width=160,
            help="One that learns: the others come out the same with every seed and preset.",
        )
    )


def _runs(pack_data: PackData, detector: str, kind: str) -> dict[str, RunChoice]:
    """Returns {title: run} of what is to be compared."""
    if kind == "seeds":
        return {f"seed {seed}": RunChoice(detector, seed=seed) for seed in SEEDS}
    presets = PRESETS[domain_of(pack_data.pack.extra)]
    names = [name for name, detectors in presets.items() if detector in detectors]
    chosen = st.pills(
        "Presets",
        names,
        selection_mode="multi",
        default=[name for name in FIRST_PRESETS if name in names],
        key=PRESETS_KEY,
        bind="query-params",
        help="paper and official learn by Langevin chains over many epochs, which takes far longer "
        "than the others.",
    )
    return {name: RunChoice(detector, name) for name in names if name in chosen}


# -- the job ---------------------------------------------------------------------------------------


def _job_key(pack_data: PackData, runs: Mapping[str, RunChoice]) -> str:
    names = (f"{run.detector}-{run.preset}-{run.seed}" for run in runs.values())
    return "/".join(("runs", pack_data.key, *names))


def _offer(pack_data: PackData, runs: Mapping[str, RunChoice]) -> None:
    known = _known(pack_data, runs)
    missing = sum(run not in known for run in runs.values())
    label = f"Fit {missing} more and compare" if known else f"Fit {missing} and compare"
    st.button(
        label if missing else "Compare",
        key="fit-runs",
        icon=":material/play_arrow:",
        on_click=_start,
        args=(pack_data, runs),
    )


def _start(pack_data: PackData, runs: Mapping[str, RunChoice]) -> None:
    """Starts fitting runs, or joins whoever does."""
    pack_data.run_scores.update(_known(pack_data, runs))
    keep = partial(_keep, result_keeper())
    work = runs_work(pack_data.pack, runs, pack_data.run_scores, keep)
    start_job(pack_data, _job_key(pack_data, runs), work, for_everybody=False)


def _known(pack_data: PackData, runs: Mapping[str, RunChoice]) -> dict[RunChoice, DetectorScores]:
    """Returns {run: its scores} of those that need not be fitted."""
    shown = {
        RunChoice(scores.detector): scores
        for scores in list(ensure_scoring_job(pack_data, "modern").frames)
        if not scores.missing_reason
    }
    known = {}
    for run in runs.values():
        scores = shown.get(run) or pack_data.run_scores.get(run) or _kept(pack_data, run)
        if scores is not None:
            known[run] = scores
    return known


def _kept(pack_data: PackData, run: RunChoice) -> DetectorScores | None:
    """Returns the scores of a run that are kept with own data; None if none are.

    The data holds them from then on, so that they are read once.
    """
    keeper = result_keeper()
    kept = None if keeper is None else keeper.known(_folder(run)).get(run.detector)
    if kept is not None:
        pack_data.run_scores[run] = kept
    return kept


def _keep(keeper: ResultKeeper | None, run: RunChoice, scores: DetectorScores) -> None:
    """Keeps the scores of a run with own data, where that is kept."""
    if keeper is not None:
        keeper.keep(_folder(run), [scores])


def _folder(run: RunChoice) -> str:
    """Returns the folder of what is kept of a run: its preset, as of the page's own scores."""
    return run.preset if run.seed == 0 else f"{run.preset}-seed-{run.seed}"


# -- what came of it -------------------------------------------------------------------------------


def _show_job(
    pack_data: PackData, job: Job, detector: str, kind: str, share_to_keep: float
) -> None:
    """Shows the runs that are ready, and how far the others are."""
    ready: list[RunScores] = list(job.frames)
    if not job.over:
        show_cancellable(
            job,
            f"Fitting {plain(detector)}",
            partial(leave_job, job),
            has_more=lambda job: len(job.frames) > len(ready),
            help="What is fitted already need not be fitted again.",
        )
    for run in ready:
        if run.scores.missing_reason:
            st.info(f"{run.title}: {plain(run.scores.missing_reason)}", icon=":material/info:")
    scores = {
        run.title: SetScores(run.scores.scores) for run in ready if not run.scores.missing_reason
    }
    if scores:
        pack = pack_data.pack
        table = tabulate(scores, pack.ood, pack.averaged)
        st.markdown(f"**{runs_finding(detector, kind, table)}**")
        _show_histograms(pack_data, scores, table, share_to_keep)
        st.caption(
            f"Averages over sets in a group, then over groups. Each line keeps "
            f"{100 * share_to_keep:g} % of ID. {plain(pack.apart_sentence)}"
        )


def _show_histograms(
    pack_data: PackData, scores: Mapping[str, SetScores], table: Table, share_to_keep: float
) -> None:
    """Shows a histogram per run, with its figures."""
    names = ["test", *map(str, pack_data.pack.averaged)]
    titles = list(scores)
    for start in range(0, len(titles), COLUMNS):
        for column, title in zip(
            st.columns(COLUMNS), titles[start : start + COLUMNS], strict=False
        ):
            average = table.average(title)
            line = f"FPR95 {percent(average.fpr95)}, AUROC {percent(average.auroc)}"
            column.markdown(f"**{title}**: {line}")
            column.plotly_chart(
                _histogram(scores[title], names, share_to_keep),
                key=f"run-{title}",
                config=figures.QUIET,
                alt=f"Scores of {title} by group; {line}",
            )


def _histogram(scores: SetScores, names: Sequence[str], share_to_keep: float):
    by_group = figures.scores_by_group({name: scores[name] for name in names})
    threshold = threshold_keeping(scores.calibration, share_to_keep)
    return figures.histogram(by_group, ScoreHistogram(scores, "raw").edges, threshold)
