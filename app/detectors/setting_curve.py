"""A setting of a detector against the criterion that sees ID data alone. No Streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from app import figures
from app.job import Job, Work
from app.pack.tables import percent
from app.text import number_text

if TYPE_CHECKING:
    from heat_core.model_selection import Setting
    from heat_core.pack import Pack

PRESET = "modern"
TRUST = (
    "The criterion is the mean AUROC of held-out ID images against destroyed ones, of kinds that "
    "the fit did not see; no OOD set is read. Over 32 settings of HEAT-GMM on the pack that ships "
    "its ranks agree with those of the OOD AUROC by 0.78 (docs/CRITERION.md): it tells settings of "
    "one detector that are far apart, not those within 0.1 points of each other, and is no judge "
    "between detectors."
)


@dataclass(frozen=True)
class SettingCurve:
    """The criterion of each value of a setting.

    Args:
        detector: its name.
        setting: its name.
        criteria: {value: criterion in [0, 1]}, ascending by value.
        present: the value that the preset has; None where it is chosen at fit.
    """

    detector: str
    setting: str
    criteria: Mapping[float, float]
    present: float | None

    @property
    def best(self) -> float:
        """The value of the largest criterion, of equal ones the first."""
        return max(self.criteria, key=self.criteria.__getitem__)


def tunable_detectors(pack: Pack, names: Sequence[str]) -> dict[str, Setting]:
    """Returns {detector: its setting} of the detectors that have one to choose on this pack.

    Args:
        names: of detectors, one at least.
    """
    from heat_core.detectors.presets import supported_detectors
    from heat_core.model_selection import setting_of

    detectors, _ = supported_detectors(pack, PRESET, names)
    settings = {name: setting_of(detector, pack.train) for name, detector in detectors.items()}
    return {
        name: setting
        for name, setting in settings.items()
        if setting is not None and len(setting.values) > 1
    }


def curve_work(pack: Pack, name: str) -> Work:
    """Returns the work of computing a detector's `SettingCurve`."""

    def work(job: Job) -> SettingCurve:
        from heat_core.model_selection import setting_curve

        setting = tunable_detectors(pack, (name,))[name]
        job.report(0.0)
        criteria = setting_curve(setting, pack.train, pack.extra, on_value=job.report)
        return SettingCurve(name, setting.name, criteria, setting.present)

    return work


def curve_finding(curve: SettingCurve) -> str:
    """Returns what a curve says, in one sentence.

    >>> curve_finding(SettingCurve("KNN", "k", {5: 0.912, 50: 0.9, 200: 0.85}, 50))
    'KNN: k = 5 is best on ID data alone, 91.2 %; the preset, 50, has 90.0 %'
    >>> curve_finding(SettingCurve("ReAct", "percentile", {90.0: 0.8, 95.0: 0.85}, None))
    'ReAct: percentile = 95 is best on ID data alone, 85.0 %; it is chosen so at fit'
    """
    name, value = f"{curve.detector}: {curve.setting}", number_text(curve.best)
    best = f"{name} = {value} is best on ID data alone, {percent(curve.criteria[curve.best])}"
    if curve.present is None:
        return f"{best}; it is chosen so at fit"
    if curve.present == curve.best:
        return f"{best}, and the preset has it"
    present = number_text(curve.present)
    if curve.present not in curve.criteria:
        return f"{best}; the preset has {present}"
    return f"{best}; the preset, {present}, has {percent(curve.criteria[curve.present])}"


def curve_figure(curve: SettingCurve) -> go.Figure:
    """Returns the criterion by value; the best is filled, the preset's has a ring."""
    values = np.array(list(curve.criteria), dtype=np.float64)
    in_percent = 100 * np.array(list(curve.criteria.values()))
    figure = go.Figure(
        go.Scatter(
            x=values,
            y=in_percent,
            mode="lines+markers",
            line=dict(color=figures.COLOURS["ID"], width=2),
            hovertemplate=f"{curve.setting} %{{x:g}}: %{{y:.2f}} %<extra></extra>",
            showlegend=False,
        )
    )
    marks = {"best": (curve.best, "circle", 13)}
    if curve.present is not None and curve.present in curve.criteria:
        marks["preset"] = (curve.present, "circle-open", 18)
    for name, (value, symbol, size) in marks.items():
        figure.add_scatter(
            x=[value],
            y=[100 * curve.criteria[value]],
            name=name,
            mode="markers",
            marker=dict(color=figures.SELECTED, symbol=symbol, size=size, line=dict(width=2)),
            hoverinfo="skip",
        )
    is_log = values.min() > 0 and values.max() >= 20 * values.min()
    figure.update_xaxes(
        type="log" if is_log else "linear",
        title=curve.setting,
        tickvals=values.tolist(),
        ticktext=[f"{value:.3g}" for value in values],
    )
    figure.update_yaxes(title="criterion (%)", tickformat=".1f")
    figure.update_layout(height=figures.CHART_HEIGHT, margin=figures.MARGIN, legend=figures.LEGEND)
    return figure
