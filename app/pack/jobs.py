"""What the background jobs do: heat_core at work, reporting frames. No Streamlit here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.jobs import Work
from app.pack.layout import Layout, layout_of

if TYPE_CHECKING:
    from heat_core.explain import ScoreTerms
    from heat_core.pack import Pack
    from heat_core.results.bootstrap import Bootstrap
    from heat_core.run import Run


@dataclass(frozen=True)
class DetectorScores:
    """A detector's scores on a pack, or the reason why there are none.

    Args:
        scores: {set: (n,)}.
        note: what must be said of the fitted detector, if anything.
        run: the fitted detector, where that is wanted.
        how: what its energy is put together from.
        terms: {set: (n, terms)}, what each term adds; nothing where there is one term, which is the score.
    """

    detector: str
    scores: Mapping[str, NDArray[np.float64]]
    reason: str = ""
    note: str = ""
    run: Run | None = None
    how: ScoreTerms | None = None
    terms: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


def score_pack(pack: Pack, preset: str, keep_runs: bool = False, seed: int = 0) -> Work:
    """Returns the work of scoring a pack with every detector, quick ones first: a `Scored` frame each, `Resamples` at last.

    With `keep_runs` the frames hold the fitted detectors, to score more with.
    A detector that the pack does not allow, or that fails on it, says why and leaves the others alone.
    """

    def work(job) -> Bootstrap | None:
        from heat_core.detectors.presets import DETECTORS, supported_detectors
        from heat_core.explain import ScoreTerms, score_terms
        from heat_core.results.bootstrap import bootstrap
        from heat_core.run import fit
        from heat_core.scores import score_pack as score

        recipes, reasons = supported_detectors(pack, preset)
        many = len(DETECTORS)

        def scored(name: str, done: float) -> DetectorScores:
            if name in reasons:
                return DetectorScores(name, {}, reasons[name])
            try:
                run = fit(
                    recipes[name],
                    pack.train,
                    seed,
                    on_record=lambda record, energy: job.report(
                        done + record.step / record.steps / many
                    ),
                    extra=pack.extra,
                )
                scores = score(pack, run.score)
            except (ValueError, ArithmeticError) as error:
                return DetectorScores(name, {}, f"{name} failed on these features: {error}")
            if not all(np.isfinite(values).all() for values in scores.values()):
                return DetectorScores(
                    name, {}, f"{name} gives scores that are not finite on these features."
                )
            how = ScoreTerms.of(run)
            several = score(pack, partial(score_terms, run)) if len(how.names) > 1 else {}
            return DetectorScores(
                name, scores, "", run.warning, run if keep_runs else None, how, several
            )

        for i, name in enumerate(DETECTORS):
            job.report(i / many)
            job.report((i + 1) / many, scored(name, i / many))
        found = {frame.detector: frame.scores for frame in job.frames if not frame.reason}
        return bootstrap(found, pack.ood) if found else None

    return work


def lay_out(pack: Pack, method: str) -> Work:
    """Returns the work of laying a pack out on a map; its result is a `Layout`."""

    def work(job) -> Layout:
        from heat_core.projection import project_pack

        job.report(0.0)
        layout = layout_of(project_pack(pack, method, on_progress=job.report))
        assert layout is not None
        return layout

    return work
