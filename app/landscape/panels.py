"""Panels of the Landscape: the layers, a point term by term, truth and error, rays."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from app import figures
from app.colour_scale import ColourScale
from app.components.surfaces import Block, Surface, surfaces
from app.landscape.controls import LandscapeChoice, select_point
from app.plane.colours import SIGNED_COLOURS, energy_scale, signed_scale
from app.plane.figures import mode_masses, ray_figure
from app.plane.panels import PanelTitle
from app.plane.reading import FAR_EXTENTS, EnergyReading, PointTerms, Ray
from app.plane.state import ToyPreview, energy_ray
from app.plane.training import TOTAL, Layer, ToyChoice, ToyResult
from app.text import number_text

NEAR_EXTENTS = 1.5  # that the near ray reaches


TITLES = {
    "prior": PanelTitle("Prior, E_G / T_G", "one Gaussian a class"),
    "correction": PanelTitle("Correction, E_θ", "learned; blue: likelier than the prior says"),
    TOTAL: PanelTitle("Total", "what scores; dashed: the threshold"),
    "truth": PanelTitle("Truth", "the exact -log p, less log Z; dashed: the threshold"),
}


# -- the layers of the model


def layer_panels(
    layers: Mapping[str, Layer], settings: LandscapeChoice, reading: EnergyReading
) -> None:
    """Shows the layers (side, side) side by side, on the same axes.

    The first term and the total are drawn in nats above the total's lowest, so the drawn terms
    still add up; other terms are drawn about zero. A click selects the point.
    """
    names = [name for name in layers if name != "truth"]
    first_name = names[0]
    panels = []
    for name in names:
        if name in (first_name, TOTAL):
            panels.append(_energy_surface(name, layers[name], settings.reach, reading))
        else:
            panels.append(_signed_surface(name, layers[name], settings.reach))
    surfaces(panels, _block(settings, columns=3), "layers", select_point)


def _block(settings: LandscapeChoice, columns: int = 1) -> Block:
    x, y = settings.window.ranges
    return Block(
        x,
        y,
        scale=signed_scale(settings.reach),
        marks={"": settings.point},
        flat=columns == 1 or settings.style == "contour",
        columns=columns,
    )


def _title(name: str) -> PanelTitle:
    """Returns the title of a layer; that of a term nobody knows is its name."""
    return TITLES.get(name) or PanelTitle(name.capitalize(), "a term of the total")


def _energy_surface(name: str, energy: Layer, reach: float, reading: EnergyReading) -> Surface:
    """Returns an energy (side, side) in nats above the total's lowest."""
    title = _title(name)
    alt = (
        f"{title.title} over the plane: {title.meaning}; "
        f"colours reach {reach:g} nats above the total's lowest"
    )
    level = reading.threshold - reading.lowest if name in (TOTAL, "truth") else None
    return Surface(
        energy - reading.lowest, title.title, title.meaning, alt, level, energy_scale(reach)
    )


def _signed_surface(name: str, values: Layer, reach: float) -> Surface:
    """Returns a term (side, side) whose colours are centred on zero."""
    title = _title(name)
    alt = (
        f"{title.title} over the plane: {title.meaning}; "
        f"colours from -{reach:g} to {reach:g} nats, centred on zero"
    )
    return Surface(values, title.title, title.meaning, alt, scale=signed_scale(reach))


# -- a point


def point_panel(terms: PointTerms, preview: ToyPreview, point: tuple[float, float]) -> None:
    """Shows the energy of a point as a sum with a verdict, and the ID percentile of each term."""
    x, y = point
    st.subheader(f"At ({x:.2f}, {y:.2f}): {terms.sentence}")
    table_column, verdict_column = st.columns([3, 2])
    table_column.dataframe(
        _term_table(terms),
        hide_index=True,
        alt="The point's energy, term by term, and its percentile among 4,000 fresh ID points",
    )
    verdict = "Rejected as OOD" if terms.out else "Accepted as ID"
    if terms.true_energy > 1e6:
        truth = "infinite: no data is ever here"
    else:
        truth = f"{number_text(terms.true_energy, 2)} nats"
    verdict_column.markdown(
        f"**{verdict}** at the threshold {terms.threshold:.{terms.decimals}f}.  \n"
        f"The truth, -log p, is {truth}.  \n"
        f"Likeliest mode: {terms.mode + 1} of {preview.modes}."
    )


def _term_table(terms: PointTerms) -> pd.DataFrame:
    """Returns a row per term, and one for the total."""
    energies = {**terms.terms, TOTAL: terms.total}
    rows = [
        (
            _title(name).title,
            f"{energy:.{terms.decimals}f}",
            f"{100 * terms.percentiles[name]:.1f} %",
        )
        for name, energy in energies.items()
    ]
    return pd.DataFrame(rows, columns=["Term", "Nats", "ID points that have at most as much"])


# -- the whole


FACTS = {
    "T_G": "The prior's temperature: E_G is divided by it.",
    "α": (
        "How much large energies cost in training. The noise-contrastive objective has no such "
        "term: its correction is the log of a density ratio, and unbounded."
    ),
    "Bound 1 / (2α)": (
        "With fixed negatives the optimum is (n - p) / (2α (n + p)), "
        "so |E_θ| does not pass this bound there. In training it can."
    ),
    "Largest |E_θ|": "On the toy's whole square.",
    "log Z": "The log of the integral of exp(-E): 0 is a normalised density.",
}


def model_facts(reading: EnergyReading) -> None:
    """Shows T_G, alpha and its bound, where they exist, the largest |E_theta| and log Z."""
    values = {
        "T_G": _number(reading.temperature, "g"),
        "α": _number(reading.alpha, "g"),
        "Bound 1 / (2α)": _number(reading.bound, ".3g", " nats"),
        "Largest |E_θ|": _number(reading.largest_e_theta, ".4g", " nats"),
        "log Z": number_text(reading.log_z, 3, "+"),
    }
    with st.container(horizontal=True):
        for name, meaning in FACTS.items():
            st.metric(name, values[name], help=meaning)


def _number(value: float | None, form: str, unit: str = "") -> str:
    return "none" if value is None else f"{value:{form}}{unit}"


def truth_and_error(
    true_energy: Layer, reading: EnergyReading, result: ToyResult, settings: LandscapeChoice
) -> None:
    """Shows the true energy (side, side), where the model is wrong, and the mass of each mode."""
    distance = result.distance
    assert distance is not None  # points of one's own are not offered here
    st.subheader(
        f"{100 * distance.tv:.1f} % of the probability lies in the wrong place; "
        f"KL {number_text(distance.kl, 3)} nats."
    )
    truth_column, error_column, modes_column = st.columns(3)
    with truth_column:
        _truth_panel(true_energy - reading.log_z, settings, reading)
    with error_column:
        _error_panel(reading, settings)
    with modes_column:
        _modes_panel(reading)
    with st.expander("The modes in figures"):
        st.dataframe(_mode_table(reading), hide_index=True)


def _truth_panel(energy: Layer, settings: LandscapeChoice, reading: EnergyReading) -> None:
    surface = _energy_surface("truth", energy, settings.reach, reading)
    surfaces([surface], _block(settings), "exact", select_point)


def _error_panel(reading: EnergyReading, settings: LandscapeChoice) -> None:
    """Shows true density less the model's on the whole square."""
    largest = float(abs(reading.density_error).max())
    reach = float(f"{max(120 * largest, 1e-3):.1g}")
    surface = Surface(
        100 * reading.density_error,
        title="Error",
        meaning="truth less model, % of the peak; blue: too much",
        alt=f"True density less the model's; at most {100 * largest:.0f} % of the peak",
    )
    x, y = reading.error_window.ranges
    block = Block(
        x,
        y,
        scale=ColourScale(SIGNED_COLOURS, -reach, reach, "% of the peak"),
        bands=7,  # an odd number: no line at 0, which is nearly everywhere
        marks={"": settings.point},
        flat=True,
    )
    surfaces([surface], block, "error", select_point)


def _modes_panel(reading: EnergyReading) -> None:
    """Shows the probability of each mode, and how many modes the model keeps."""
    st.markdown(
        f"**{reading.modes_kept} of {len(reading.true_mass)} modes kept**  \n"
        ":small[with at least half of their mass]"
    )
    st.plotly_chart(
        mode_masses(reading.true_mass, reading.model_mass),
        key="masses",
        alt="The share of probability of each mode",
        config=figures.QUIET,
    )


def _mode_table(reading: EnergyReading) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Mode": range(1, len(reading.true_mass) + 1),
            "Truth %": _percent(reading.true_mass),
            "Model %": _percent(reading.model_mass),
        }
    )


def _percent(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    return (100 * shares).round(2)


# -- away from the data


def energy_rays(
    choice: ToyChoice, result: ToyResult, reading: EnergyReading, point: tuple[float, float]
) -> None:
    """Shows the energy along the ray through the point, near the data and far from it."""
    st.subheader(
        f"Far from the data, {FAR_EXTENTS:g} times as far out as the picture reaches, "
        f"{100 * reading.far_out:.0f} % of directions are rejected."
    )
    near_column, far_column = st.columns(2)
    with near_column:
        title = "Along the ray from the data's mean through the point"
        _ray_panel("near", title, energy_ray(choice, point, NEAR_EXTENTS, result, reading), reading)
    with far_column:
        title = f"The same, {FAR_EXTENTS:g} times as far out as the picture reaches"
        _ray_panel("far", title, energy_ray(choice, point, FAR_EXTENTS, result, reading), reading)


def _ray_panel(
    name: str,
    title: str,
    ray: Ray,
    reading: EnergyReading,
) -> None:
    st.markdown(f"**{title}**")
    figure = ray_figure(
        ray.distances,
        ray.energies,
        reading.threshold,
        ray.point_distance,
        reading.extent,
        labelled=name == "near",
    )
    st.plotly_chart(
        figure,
        key=f"ray-{name}",
        alt=f"{title}: energies by distance, in nats",
        config=figures.QUIET,
    )
