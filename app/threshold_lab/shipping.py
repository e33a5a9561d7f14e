"""Ship this: what is on the page as files that score elsewhere."""

from __future__ import annotations

import hashlib
from functools import partial
from urllib.parse import urlencode

import streamlit as st

from app.pack.data import PackData, leave_job, start_job, watched_job
from app.pack.progress import show_cancellable, show_failure
from app.pack.scores import fitted_run
from app.pack.tables import format_score
from app.text import plain
from app.threshold_lab.evaluation import Evaluation
from app.threshold_lab.shipment import (
    Shipment,
    ShippedFile,
    rows_parted_otherwise,
    shipping_work,
)
from heat_core.thresholds import ByHand, ThresholdRule

HELP = (
    "A zip file with the fitted detector, its threshold and what that was chosen on, and one that "
    "scores with NumPy alone."
)


def ship_panel(pack_data: PackData, evaluation: Evaluation) -> None:
    """Offers the detector with its threshold as files, and shows those that were made."""
    detector = evaluation.choice.detector
    rule = evaluation.rule or ByHand(evaluation.outcome.threshold)
    job = watched_job(pack_data, _job_key(pack_data, detector, rule, evaluation.choice.set_names))
    if job is None:
        st.button(
            "Ship this",
            key="ship",
            icon=":material/package_2:",
            help=HELP,
            on_click=_start,
            args=(pack_data, evaluation, rule),
        )
        return
    if show_failure(job, _start, pack_data, evaluation, rule):
        return
    if not job.over:
        show_cancellable(job, f"Packing {plain(detector)}", partial(leave_job, job))
        return
    _show_shipment(evaluation, job.result)


def _start(pack_data: PackData, evaluation: Evaluation, rule: ThresholdRule) -> None:
    """Starts packing the detector of the page with the decision of a rule."""
    choice = evaluation.choice
    work = shipping_work(
        pack_data.pack,
        choice.detector,
        rule,
        choice.set_names,
        fitted_run(pack_data, choice.detector),
    )
    key = _job_key(pack_data, choice.detector, rule, choice.set_names)
    start_job(pack_data, key, work, for_everybody=False)


def _job_key(
    pack_data: PackData, detector: str, rule: ThresholdRule, set_names: tuple[str, ...]
) -> str:
    """Returns what decides the files: the data, the detector and the rule, with what it reads."""
    read = set_names if rule.needs_ood else ()
    settings = hashlib.sha256(repr((rule, read)).encode()).hexdigest()[:16]
    return "/".join(("ship", pack_data.key, detector, settings))


def _show_shipment(evaluation: Evaluation, shipment: Shipment) -> None:
    """Shows the files, and in what their threshold differs from the line."""
    with st.container(border=True):
        st.markdown(f"**{_heading(evaluation, shipment)}**")
        assessment = shipment.decision.assessment
        assert assessment is not None
        st.caption(f"{assessment.remark} {_line_sentence(evaluation, shipment)}")
        with st.container(horizontal=True):
            _download_button("Bundle", shipment.bundle, ":material/package_2:")
            _download_button("NumPy scorer", shipment.scorer, ":material/data_array:")
            st.download_button(
                "Report",
                partial(shipment.report, _address()),
                f"{shipment.folder}.html",
                mime="text/html",
                key="ship-Report",
                icon=":material/article:",
                on_click="ignore",
                help="A page for whoever has to trust it, to read and to print.",
            )
        for file in (shipment.bundle, shipment.scorer):
            if file.missing_reason:
                st.caption(f"{plain(file.name)}: {plain(file.missing_reason)}")
        st.code(_commands(shipment), language="bash", wrap_lines=True)


def _address() -> str:
    """Returns the address that opens this view; nothing where the browser says none."""
    query = urlencode(st.query_params.to_dict())
    return f"{st.context.url}?{query}" if st.context.url else ""


def _heading(evaluation: Evaluation, shipment: Shipment) -> str:
    decision = shipment.decision
    where = f"{len(decision.by_class)} thresholds"
    if not decision.by_class:
        where = f"its threshold, {format_score(decision.threshold)}"
    return f"{plain(evaluation.choice.detector)} with {where}, ready to ship"


def _line_sentence(evaluation: Evaluation, shipment: Shipment) -> str:
    """Returns whether the threshold in the files parts the scores as the line does."""
    decision = shipment.decision
    if decision.by_class:
        return ""
    line = evaluation.outcome.threshold
    count = rows_parted_otherwise(evaluation.set_scores, line, decision.threshold)
    if not count:
        return "It parts the scores of this page as the line does."
    return (
        f"It was chosen on {decision.n_calibration:,} scores, so that others can judge it, and "
        f"says otherwise than the line of {count:,} rows of this page."
    )


def _download_button(label: str, file: ShippedFile, icon: str) -> None:
    size = f" ({len(file.content) / 1e6:,.1f} MB)" if file.content else ""
    st.download_button(
        f"{label}{size}",
        file.content,
        file.name,
        mime="application/zip",
        key=f"ship-{label}",
        icon=icon,
        on_click="ignore",
        disabled=not file.content,
    )


def _commands(shipment: Shipment) -> str:
    """Returns how to score with the files."""
    folder = shipment.folder
    return "\n".join(
        (
            f"unzip {shipment.bundle.name}",
            f"heat score {folder} features.parquet --out decisions.parquet",
            "# or, with numpy, safetensors and pyarrow alone:",
            f"unzip {shipment.scorer.name}",
            f"python {folder}-numpy/score.py features.parquet decisions.csv",
        )
    )
