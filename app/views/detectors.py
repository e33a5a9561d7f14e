"""Detectors: every detector on the same features, side by side."""

import numpy as np
import pandas as pd
import streamlit as st

from app import controls, figures, session
from heat_core.benchmark import tabulate, to_latex, to_markdown
from heat_core.metrics import threshold_keeping

GROUPS = ("near", "mid", "far")


def own_data() -> None:
    """Offers an upload, and the way back."""
    with st.popover("Use your own features", icon=":material/upload:"):
        st.markdown(
            "An `.npz` with `train_z` (N, d), `train_y` (N,), `test_z`, and OOD sets `near_NAME`, `mid_NAME`, `far_NAME`; "
            "`weight` and `bias` of the classifier's last layer if MSP and Energy are wanted. It stays in this session."
        )
        file = st.file_uploader("Arrays", type="npz", max_upload_size=200)
        if file is not None and st.session_state.get("seen") != file.file_id:
            st.session_state["seen"] = file.file_id
            session.upload(file, file.name)
        if "upload_error" in st.session_state:
            st.error(st.session_state["upload_error"], icon=":material/error:")
        if "uploaded" in st.session_state:
            st.button("Back to the data that ships", on_click=session.drop_upload)


def about(pack) -> None:
    """Says what the data is: a badge, and the card behind it."""
    rows = len(pack.test) + sum(len(features) for features in pack.outside.values())
    st.badge(
        f"{pack.title}: {len(pack.train):,} training rows of {pack.train.dim} features, {rows:,} scored, none sampled on this page",
        icon=":material/database:",
    )
    with st.expander("What this data is"):
        classifier = pack.card.get("classifier", {})
        if "test_accuracy" in classifier:
            st.markdown(f"Classifier: timm `{classifier['model']}`, test accuracy {classifier['test_accuracy']:.1%}.")
        sets = [
            {"set": pack.set_title(name), "role": name.partition("_")[0], "rows": len(features), **{
                heading: pack.card.get("sets", {}).get(name, {}).get(key, "")
                for heading, key in (("source", "source"), ("stands in for", "stands_in_for"))
            }}
            for name, features in pack.sets()
        ]  # fmt: skip
        st.dataframe(pd.DataFrame(sets), hide_index=True)


def percentiles(scores: dict) -> dict:
    """Returns the scores as shares of the ID test set that lie below, in percent."""
    inside = np.sort(scores["test"])
    return {name: 100 * np.searchsorted(inside, values, "right") / len(inside) for name, values in scores.items()}


def grouped(pack, scores: dict) -> dict:
    """Returns {ID, near, mid, far: scores}, every set of a group put together."""
    parts = {"ID": scores["test"]}
    for group in GROUPS:
        if found := [scores[f"{g}_{name}"] for g, name in pack.outside if g == group]:
            parts[group] = np.concatenate(found)
    return parts


def table_of(pack, scores: dict) -> None:
    """Shows the paper's table, best figures in bold, with exports."""
    table = tabulate(scores, pack.outside)
    best = min(table.detectors, key=lambda name: table.average(name).fpr95)
    st.subheader(f"{best} lets the least OOD pass: {table.average(best).fpr95:.1%} on average where 95 % of ID is kept")
    lines = {}
    for figure, smaller in (("fpr95", True), ("auroc", False)):
        for group in table.groups:
            values = {name: getattr(table.average(name, group), figure) for name in table.detectors}
            lines[group.capitalize(), {"fpr95": "FPR95 % ↓", "auroc": "AUROC % ↑"}[figure]] = pd.Series(values) * 100
    order = [(g.capitalize(), label) for g in table.groups for label in ("FPR95 % ↓", "AUROC % ↑")]
    frame = pd.DataFrame(lines)[order]
    style = frame.style.format("{:.1f}")
    for column in order:
        pick = style.highlight_min if "FPR" in column[1] else style.highlight_max
        style = pick(subset=[column], props="font-weight: bold; color: #0072B2")
    st.dataframe(style, alt="FPR95 and AUROC of every detector by group of OOD sets")
    st.caption(
        "FPR95: OOD accepted where 95 % of ID is kept. Averages run over sets within a group, then over groups. Best in bold."
    )
    with st.expander("Every set, with the 95 % interval of the AUROC"):
        st.dataframe(sets_frame(pack, table), hide_index=True)
    csv = pd.DataFrame([vars(row) for row in table.rows]).to_csv(index=False)
    with st.container(horizontal=True):
        for label, content, ending in (
            ("CSV", csv, "csv"),
            ("Markdown", to_markdown(table), "md"),
            ("LaTeX", to_latex(table), "tex"),
        ):
            st.download_button(label, content, f"detectors.{ending}", icon=":material/download:", on_click="ignore")


def sets_frame(pack, table) -> pd.DataFrame:
    """Returns a line a detector and set, in percent."""
    return pd.DataFrame(
        {
            "Detector": row.detector, "Set": pack.set_title(f"{row.group}_{row.set}"), "Group": row.group, "Images": row.n,
            "FPR95 (ID+) %": round(100 * row.fpr95, 1), "AUROC %": round(100 * row.auroc, 1),
            "±": round(196 * row.auroc_error, 1), "AUPR %": round(100 * row.aupr, 1),
            "FPR95 (OOD+) %": round(100 * row.fpr95_ood, 1),
        }
        for row in table.rows
    )  # fmt: skip


def histograms(pack, scores: dict, keep: float, as_percentile: bool) -> None:
    """Shows a histogram a detector, its title the finding at the threshold."""
    st.subheader(f"At a threshold that keeps {keep:.1%} of ID")
    columns = st.columns(2)
    for i, (name, by_set) in enumerate(scores.items()):
        shown = grouped(pack, percentiles(by_set) if as_percentile else by_set)
        cut = threshold_keeping(shown["ID"], keep)
        caught = {group: float(np.mean(values > cut)) for group, values in shown.items() if group != "ID"}
        with columns[i % 2].container(border=True):
            st.markdown(f"**{name}** catches " + ", ".join(f"{share:.0%} of {group}" for group, share in caught.items()))
            unit = "ID percentile" if as_percentile else "score"
            alt = f"{name}: distribution of the {unit} of ID and of near, mid and far OOD; the threshold is {cut:.4g}"
            st.plotly_chart(
                figures.histogram(shown, cut, unit=unit), key=f"histogram-{name}", alt=alt, config={"displayModeBar": False}
            )


def results(pack, job) -> None:
    scores, absent = session.scored(job)
    for name, reason in absent.items():
        st.info(reason, icon=":material/info:")
    if not scores:
        st.progress(0.0, "Fitting the first detector …")
        return
    table_of(pack, scores)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        keep, as_percentile = controls.kept_share(), controls.scale() == "ID percentile"
    histograms(pack, scores, keep, as_percentile)


@st.fragment(run_every=1.0)
def progress(job, shown: int) -> None:
    if job.over or len(job.frames) != shown:
        st.rerun()
    ready = f"{shown} detectors are ready; " if shown else ""
    st.progress(job.progress, f"{ready}fitting the others: {job.progress:.0%}")


st.title("Detectors")
st.caption("The same features, every detector. A score is an energy: larger means more out-of-distribution (OOD).")
try:
    given = session.data()
except ValueError as error:
    st.error(f"The features that ship cannot be read. {error}", icon=":material/error:")
    given = None
own_data()
if given is None:
    st.info("There are no features yet. Put a pack into assets/packs (python -m heat_core extract), or use your own.")
    st.stop()
about(given.pack)
job = session.scoring(given, "modern")
if job.state == "failed":
    st.error(job.error, icon=":material/error:")
if not job.over:
    progress(job, len(job.frames))
results(given.pack, job)
