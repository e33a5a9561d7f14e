"""Detectors: every detector on the same features, side by side."""

import numpy as np
import pandas as pd
import streamlit as st

from app import controls, figures, header, session, tables
from app.picture import own_picture
from app.text import plain
from heat_core.benchmark import grouped, tabulate, to_latex, to_markdown
from heat_core.metrics import percentile, threshold_keeping

LEARNED = {
    True: "EBM, HEAT and Composed learn here from destroyed ID images (jigsaws, warps, noise …), never from OOD data: their "
    "correction is a bounded verdict of ID against destroyed ID, not the log of a density.",
    False: "EBM and HEAT learn here from the features alone, against broad Gaussian noise (T_G = 9, set beforehand): no image, "
    "no OOD data. Expect HEAT near its MoG, and the EBM behind it.",
}


def about(pack) -> None:
    """Says what the data is: the card of its sets."""
    with st.expander("What this data is"):
        if classifier := tables.classifier(pack):
            st.markdown(plain(classifier))
        st.dataframe(tables.contents(pack), hide_index=True)


def show_table(pack, scores: dict) -> None:
    """Shows the paper's table, best figures in bold, with exports."""
    table = tabulate(scores, pack.outside)
    ranked = sorted(table.detectors, key=lambda name: table.average(name).fpr95)
    best, *others = [f"{name} ({100 * table.average(name).fpr95:.1f} %)" for name in ranked[:3]]
    followers = f"; {' and '.join(others)} come next" if others else ""
    st.subheader(f"{best} lets the least OOD pass where 95 % of ID is kept{followers}.")
    st.dataframe(tables.averages(table), alt="FPR95 and AUROC of every detector by group of OOD sets")
    st.caption(
        "FPR95: OOD accepted where 95 % of ID is kept. Averages: over sets in a group, then over groups. Best: bold. "
        + LEARNED[bool(pack.auxiliary.pseudo)]
    )
    with st.expander("Every set, with the 95 % interval of the AUROC"):
        titles = {name: pack.set_title(name) for name, _ in pack.sets()}
        st.dataframe(tables.sets(table, titles), hide_index=True)
    csv = pd.DataFrame([vars(row) for row in table.rows]).to_csv(index=False)
    files = {"CSV": (csv, "csv"), "Markdown": (to_markdown(table), "md"), "LaTeX": (to_latex(table), "tex")}
    with st.container(horizontal=True):
        for label, (content, ending) in files.items():
            name = f"detectors.{ending}"
            st.download_button(label, content, name, icon=":material/download:", on_click="ignore")


def show_histograms(pack, scores: dict, keep: float, unit: str) -> None:
    """Shows a histogram a detector, its title the finding at the threshold."""
    st.subheader(f"At a threshold that keeps {100 * keep:g} % of ID")
    places = [column for _ in range(0, len(scores), 2) for column in st.columns(2)]  # row by row, also on a phone
    for place, (name, by_set) in zip(places, scores.items(), strict=False):
        shown = grouped(by_set, pack.outside)
        if unit == "ID percentile":
            shown = {group: 100 * percentile(shown["ID"], values) for group, values in shown.items()}
        cut = threshold_keeping(shown["ID"], keep)
        caught = {group: float(np.mean(values > cut)) for group, values in shown.items() if group != "ID"}
        with place.container(border=True):
            findings = [f"{100 * share:.0f} % of {group}" for group, share in caught.items()]
            st.markdown(f"**{name}** catches {', '.join(findings)}")
            axis = unit if unit == "ID percentile" else "score"
            alt = f"{name}: the {axis} of ID and of near, mid and far OOD; the threshold is {cut:.4g}"
            st.plotly_chart(figures.histogram(shown, cut, unit=axis), key=f"histogram-{name}", alt=alt, config=figures.QUIET)


@st.fragment(run_every=1.0)
def progress(job, shown: int) -> None:
    """Shows how far the scoring is, and redraws the page when another detector is ready."""
    if job.over or len(job.frames) != shown:
        st.rerun()
    st.progress(job.progress, f"Fitting the {'other ' if shown else ''}detectors: {job.progress:.0%}")


def show(given) -> None:
    """Shows all that is known of the data so far."""
    about(given.pack)
    job = session.scoring(given, "modern")
    if job.state == "failed":
        st.error(plain(job.error), icon=":material/error:")
    if not job.over:
        progress(job, len(job.frames))
    scores, absent = session.scored(job)
    for reason in absent.values():
        st.info(plain(reason), icon=":material/info:")
    if scores:
        show_table(given.pack, scores)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            keep, unit = controls.kept_share(), controls.scale()
        own_picture(given, keep)
        show_histograms(given.pack, scores, keep, unit)


header.show(
    "Detectors", "The same features, every detector. A score is an energy: larger means more out-of-distribution (OOD)."
)
data = session.data()
if isinstance(data, str):
    st.error(plain(data), icon=":material/error:")
elif data is None:
    st.info("There are no features yet. Put a pack into assets/packs (python -m heat_core extract), or use your own.")
else:
    show(data)
