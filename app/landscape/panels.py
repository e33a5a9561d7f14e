"""The pieces of the Landscape's page: the layers, a point spelled out, truth and error, a ray."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app import figures
from app.components.surfaces import Block, Surface, surfaces
from app.plane import figures as planes
from app.plane.reading import FAR, Reading, Spelled, Window
from app.plane.state import ToyPreview, energy_ray
from app.plane.training import ToyChoice, ToyResult

TITLES = {
    "prior": ("Prior, E_G / T_G", "one Gaussian a class, less the threshold"),
    "correction": ("Correction, E_θ", "learned; blue: likelier than the prior says"),
    "total": ("Sum", "what scores, less the threshold (dashed)"),
    "energy": ("Energy", "what scores, less the threshold (dashed)"),
    "truth": ("Truth", "the exact -log p, less log Z and the threshold"),
}


def panels(
    layers: dict, drawn: str, limit: float, window: Window, point: tuple[float, float], cut: float
) -> None:
    """Shows the layers side by side, on the same axes and colours; a click on one chooses the point.

    Prior and sum are drawn less the threshold `cut`, so zero is where a verdict turns and the drawn parts still add up.
    """
    shown = [
        _layer(name, layers[name] - (0.0 if name == "correction" else cut), limit)
        for name in ("prior", "correction", "total", "energy")
        if name in layers
    ]
    surfaces(
        shown, _block(window, limit, point, flat=drawn == "contour", columns=3), "layers", look_at
    )


def _layer(name: str, values, limit: float) -> Surface:
    title, meaning = TITLES[name]
    alt = f"{title} over the plane: {meaning}; colours from -{limit:g} to {limit:g} nats, centred on zero"
    return Surface(values, title, meaning, alt, None if name in ("prior", "correction") else 0.0)


def _block(
    window: Window, limit: float, point: tuple[float, float], unit: str = "nats", **how
) -> Block:
    x, y = ((float(axis[0]), float(axis[-1])) for axis in window.axes)
    colours = [colour for _, colour in figures.SIGNED]
    return Block(x, y, (-limit, limit), unit, colours, marks={"": point}, **how)


def look_at(x: float, y: float) -> None:
    """Takes a spot as the point that is looked at."""
    st.session_state.update(x=round(x, 3), y=round(y, 3))


def spelled(said: Spelled, picture: ToyPreview, point: tuple[float, float]) -> None:
    """Shows a point's energy as a sum, with a verdict, and where each part stands among ID."""
    x, y = point
    st.subheader(f"At ({x:.2f}, {y:.2f}): {said.sentence}")
    rows = [(name, value, said.ranks[name]) for name, value in said.terms.items()]
    if len(rows) > 1:
        rows.append(("total", said.total, said.ranks["total"]))
    table = pd.DataFrame(
        [(TITLES[name][0], f"{value:.2f}", f"{100 * rank:.1f} %") for name, value, rank in rows],
        columns=["Part", "Nats", "ID points that have less"],
    )
    left, right = st.columns([3, 2])
    left.dataframe(
        table,
        hide_index=True,
        alt="The point's energy, part by part, and its rank among 4,000 fresh ID points",
    )
    exact = "infinite: no data is ever here" if said.truth > 1e6 else f"{said.truth:.2f} nats"
    right.markdown(
        f"**{'Rejected as OOD' if said.out else 'Accepted as ID'}** at the threshold {said.threshold:.2f}.  \n"
        f"The truth, -log p, is {exact}.  \nNearest mode: {said.mode + 1} of {picture.modes}."
    )


FACTS = {
    "T_G": "The prior's temperature: E_G is divided by it.",
    "α": "How much large energies cost in training. The noise-contrastive objective has no such term: its correction is the "
    "log of a density ratio, and unbounded.",
    "Bound 1 / (2α)": "With fixed negatives the optimum is (n - p) / (2α (n + p)), so |E_θ| cannot pass this bound.",
    "Largest |E_θ|": "On the square that is drawn.",
    "log Z": "The log of the integral of exp(-E): 0 is a normalised density.",
}


def facts(reading: Reading) -> None:
    """Shows T_G, alpha and its bound, where they exist."""

    def said(value: float | None, form: str, unit: str = "") -> str:
        return "none" if value is None else f"{value:{form}}{unit}"

    values = (
        said(reading.temperature, "g"),
        said(reading.alpha, "g"),
        said(reading.bound, ".3g", " nats"),
        said(reading.largest, ".2f", " nats"),
        said(reading.log_z, "+.3f"),
    )
    with st.container(horizontal=True):
        for (name, meaning), value in zip(FACTS.items(), values, strict=True):
            st.metric(name, value, help=meaning)


def truth(
    layers: dict, reading: Reading, result: ToyResult, window: Window, limit: float, point
) -> None:
    """Shows the truth, where the model is wrong, and the mass of each mode."""
    d = result.distance
    st.subheader(
        f"{100 * d.tv:.1f} % of the probability lies in the wrong place; KL {d.kl:.3f} nats."
    )
    columns = st.columns(3)
    exact = _layer("truth", layers["truth"] - reading.log_z - reading.threshold, limit)
    with columns[0]:
        surfaces([exact], _block(window, limit, point, flat=True), "exact", look_at)
    worst = float(abs(reading.wrong).max())
    whole, most = (
        Window(0.0, 0.0, reading.extent, len(reading.wrong)),
        float(f"{max(120 * worst, 1e-3):.1g}"),
    )
    alt = f"True density less the model's; at most {100 * worst:.0f} % of the peak"
    error = Surface(
        -100 * reading.wrong, "Error", "truth less model, % of the peak; blue: too much", alt
    )
    with columns[1]:  # an odd number of bands: no line at 0, which is nearly everywhere
        surfaces(
            [error],
            _block(whole, most, point, flat=True, unit="% of the peak", bands=7),
            "error",
            look_at,
        )
    kept = int((reading.held >= 0.5 * reading.owed).sum())
    columns[2].markdown(
        f"**{kept} of {len(reading.owed)} modes kept**  \n:small[with at least half of their mass]"
    )
    columns[2].plotly_chart(
        planes.masses(reading.owed, reading.held),
        key="masses",
        alt="The share of probability of each mode",
        config=figures.QUIET,
    )
    with st.expander("The modes in figures"):
        modes = {"Mode": range(1, len(reading.owed) + 1), "Truth %": (100 * reading.owed).round(2)}
        st.dataframe(
            pd.DataFrame({**modes, "Model %": (100 * reading.held).round(2)}), hide_index=True
        )


def away(
    choice: ToyChoice, result: ToyResult, reading: Reading, point: tuple[float, float]
) -> None:
    """Shows the energy along the ray through the point, and what happens far from the data."""
    far = f"{100 * reading.caught:.0f} % of directions"
    st.subheader(
        f"Far from the data, {FAR:g} times as far out as the picture reaches, {far} are rejected."
    )
    columns = st.columns(2)
    for column, extents, name in ((columns[0], 1.5, "near"), (columns[1], FAR, "far")):
        distance, lines, here = energy_ray(choice, point, extents, result, reading)
        title = (
            "Along the ray from the data's mean through the point"
            if name == "near"
            else f"The same, {FAR:g} times as far"
        )
        column.markdown(f"**{title}**")
        figure = planes.ray(
            distance, lines, reading.threshold, here, reading.extent, name == "near"
        )
        column.plotly_chart(
            figure,
            key=f"ray-{name}",
            alt=f"{title}: energies by distance, in nats",
            config=figures.QUIET,
        )
