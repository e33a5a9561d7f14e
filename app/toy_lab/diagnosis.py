"""The diagnosis of a training in the plane: a traffic light, and the figures behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from app.pack.lights import light_sentence

if TYPE_CHECKING:
    from heat_core.diagnostics import Diagnosis


@dataclass(frozen=True)
class DiagnosisRow:
    """A field of a diagnosis as a row of a table.

    Args:
        field: of `Diagnosis`.
        title: what people call it.
        format: of its value, as for `format`.
        meaning: in a clause.
    """

    field: str
    title: str
    format: str
    meaning: str


ROWS = (
    DiagnosisRow(
        "acceptance",
        "MALA acceptance",
        ".0%",
        "after tuning towards 57 %; far below, the energy is rough",
    ),
    DiagnosisRow(
        "r_hat_energy",
        "Split R-hat of the energy",
        ".2f",
        "1 where chains agree; above 1.1 they sit in wells of their own",
    ),
    DiagnosisRow(
        "r_hat_class",
        "Split R-hat of the class",
        ".2f",
        "large where classes lie apart and no chain crosses",
    ),
    DiagnosisRow(
        "ess_energy",
        "Independent draws, energy",
        ",.0f",
        "what all steps of all chains are worth",
    ),
    DiagnosisRow(
        "ess_class",
        "Independent draws, class",
        ",.0f",
        "few where chains keep to their class",
    ),
    DiagnosisRow(
        "gap",
        "Energy gap",
        ".2f",
        "mean E_θ of negatives less that of data; below 0 it learned nothing",
    ),
    DiagnosisRow(
        "bound_used",
        "|E_θ| · 2α",
        ".2f",
        "the share of its bound that 99 % stay within; at its optimum at most 1",
    ),
    DiagnosisRow(
        "effective",
        "Noise that counts",
        ".1%",
        "the effective share of the noise as weighted draws of the model",
    ),
    DiagnosisRow(
        "log_z_to_noise",
        "log Z to the noise",
        ".3f",
        "log mean exp(-E_θ) over noise, in nats; 0 for a self-normalised model",
    ),
    DiagnosisRow(
        "drift",
        "Drift of long chains",
        ".2f",
        "from the data's energies, in their standard deviations",
    ),
    DiagnosisRow(
        "condition",
        "Condition number",
        ".3g",
        "of the data's covariance within classes",
    ),
)


def diagnosis_panel(diagnosis: Diagnosis) -> None:
    """Shows a traffic light with its reason, and behind it the figures that it comes from."""
    st.markdown(light_sentence(diagnosis))
    with st.expander(
        "Diagnostics: 32 chains of 200 MALA steps, begun at data",
        on_change="rerun",
        key="diagnostics",
    ) as expander:
        if expander.open:
            st.table(_table_rows(diagnosis), width="content")
            if len(diagnosis.transition_counts) > 1:
                _class_switches(diagnosis.transition_counts)


def _table_rows(diagnosis: Diagnosis) -> list[dict[str, str]]:
    """Returns the figures that mean something for this energy, as rows of a table."""
    rows = []
    for row in ROWS:
        value = getattr(diagnosis, row.field)
        if math.isfinite(value):
            text = format(value, row.format)
            rows.append({"Figure": row.title, "Value": text, "What it means": row.meaning})
    return rows


def _class_switches(transition_counts: Sequence[tuple[int, int, int]]) -> None:
    """Shows how often a chain stepped from the class of a row to that of a column.

    Classes where no chain has been have no row.
    """
    labels = sorted({label for pair in transition_counts for label in pair[:2]})
    names = [f"class {label + 1}" for label in labels]
    table = pd.DataFrame(0, names, names)
    for before, after, count in transition_counts:
        table.loc[f"class {before + 1}", f"class {after + 1}"] = count
    steps = sum(count for _, _, count in transition_counts)
    stayed = sum(count for before, after, count in transition_counts if before == after)
    st.markdown(
        f"**Class switches (MALA): {steps - stayed:,} steps of {steps:,}** "
        ":small[(from row to column)]"
    )
    st.dataframe(table, width="content")
