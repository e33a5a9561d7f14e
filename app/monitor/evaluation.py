"""Pure: a stream of a pack's rows, or of a file's, held against calibration scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heat_core.explain import assigned_classes
from heat_core.monitoring import (
    Difference,
    Notice,
    SliceWatch,
    Watch,
    kernel_two_sample,
    kolmogorov_smirnov,
    mix_in,
    notices,
    watch,
    watch_slices,
)
from heat_core.thresholds import Conformal, Decision, KeepShare, split_rows

if TYPE_CHECKING:
    from app.monitor.stream_file import StreamFile
    from app.pack.data import PackData
    from heat_core.features import Features
    from heat_core.scores import SetScores

Array = NDArray[np.float64]
Classes = NDArray[np.int64]

BATCH_ROWS = 200  # at most, before the moment and after it, that are compared as two batches


@dataclass(frozen=True)
class StreamChoice:
    """The settings of a simulated stream.

    Args:
        detector: whose scores are watched.
        mixed: the set that is mixed in; empty for none.
        share: of the rows from the moment on that are of that set.
        keep: the share of new ID rows that the threshold keeps.
        rows: of the stream.
        window: rows of a window.
        seed: of the order and of the chance by which ties are broken.
        moment: the first row, from 0, that may be of the set.
    """

    detector: str
    mixed: str
    share: float
    keep: float
    rows: int
    window: int
    seed: int
    moment: int = 0

    @property
    def has_change(self) -> bool:
        """Whether something is mixed in."""
        return bool(self.mixed and self.share)

    def within(self, available: int) -> StreamChoice:
        """Returns the same for as many ID rows as there are."""
        rows = min(self.rows, available)
        return replace(self, rows=rows, window=min(self.window, rows))


@dataclass(frozen=True)
class FileChoice:
    """The settings by which a stream file is watched.

    Args:
        keep: the share of new calm rows that the threshold keeps.
        calm_rows: the first rows, that the others are held against.
        window: rows of a window.
        column: by which the stream is sliced; empty for none.
        moment: the row, from 0, that parts the two batches that are compared.
    """

    keep: float
    calm_rows: int
    window: int
    column: str
    moment: int = 0


class StreamRows(NamedTuple):
    """Rows of one kind.

    Args:
        scores: (n,).
        classes: (n,) the class that each is taken for.
        z: (n, d) features.
    """

    scores: Array
    classes: Classes
    z: NDArray[np.float32]

    def take(self, rows: NDArray[np.int64]) -> StreamRows:
        """Returns some of the rows, (m,)."""
        return StreamRows(self.scores[rows], self.classes[rows], self.z[rows])


class StreamSource(NamedTuple):
    """What a stream is drawn from.

    Args:
        calibration: ID rows that the threshold is chosen on, and that the stream is held against.
        inside: other ID rows.
        changed: rows that are mixed in; None where nothing is.
        has_val: whether the calibration rows are held-out ID; else they are half of the test rows.
    """

    calibration: StreamRows
    inside: StreamRows
    changed: StreamRows | None
    has_val: bool


class Batches(NamedTuple):
    """Two batches compared: the rows before a moment, and those from it on.

    Args:
        rows: how many there are of each.
        scores: how far their scores differ (Kolmogorov and Smirnov).
        features: how far their features differ (maximum mean discrepancy); None without features.
    """

    rows: tuple[int, int]
    scores: Difference
    features: Difference | None


@dataclass(frozen=True, eq=False)
class Monitored:
    """A stream, and what every test makes of it.

    Args:
        scores: (N,) of the stream.
        found: what became of it.
        decision: what flags rows.
        refusal: why the decision is not by the conformal rule; nothing where it is.
        moment: the row of the stream, from 0, that parts it in before and after.
        first_row: the number, from 0, that the first row of the stream is shown with.
        is_changed: (N,) which rows were mixed in; None where that is not known.
        slices: what became of the rows of each class, or of each value of a column.
        features: (n, d) of the rows just before the moment, and of those from it on; a file has
            none.
        seed: of the exchanges of rows between them.
    """

    scores: Array
    found: Watch
    decision: Decision
    refusal: str
    moment: int
    first_row: int
    is_changed: NDArray[np.bool] | None
    slices: Sequence[SliceWatch]
    features: Sequence[NDArray[Any]] = ()
    seed: int = 0

    @property
    def noticed(self) -> Mapping[str, Notice]:
        """{test: what it made of a change at the moment}."""
        return notices(self.found, self.moment)

    @cached_property
    def batches(self) -> Batches | None:
        """The rows just before the moment, and those from it on, compared as two batches.

        None where one has fewer than two rows.
        """
        parts = batches_at(self.moment, len(self.scores))
        one, other = (self.scores[part] for part in parts)
        if min(len(one), len(other)) < 2:
            return None
        of_features = None
        if self.features:
            before, after = self.features
            of_features = kernel_two_sample(before, after, seed=self.seed)
        of_scores = kolmogorov_smirnov(one, other)
        return Batches((len(one), len(other)), of_scores, of_features)

    @property
    def has_changed_rows(self) -> bool:
        """Whether rows are known to have been mixed in."""
        return self.is_changed is not None and bool(self.is_changed.any())

    def changed_by(self, rows: int) -> int:
        """Returns how many rows were mixed in among the first `rows` of the stream."""
        return 0 if self.is_changed is None else int(self.is_changed[:rows].sum())


def source_of(
    pack_data: PackData,
    set_scores: SetScores,
    pseudo_scores: Mapping[str, Array],
    mixed: str,
) -> StreamSource:
    """Returns what a stream of a pack's rows is drawn from.

    Args:
        pack_data: the pack.
        set_scores: of the detector.
        pseudo_scores: {set: (n,)} of destroyed ID images.
        mixed: the set that is mixed in, of OOD or of destroyed ID images; nothing for none.
    """
    chosen, judged = split_rows(set_scores)

    def rows_of(name: str) -> StreamRows:
        features = pack_data.scored_sets[name]
        return StreamRows(set_scores[name], pack_data.assigned_classes[name], _array(features))

    of = set_scores.calibration_name
    calibration, inside = rows_of(of).take(chosen[of]), rows_of("test").take(judged["test"])
    if not mixed:
        changed = None
    elif mixed in set_scores:
        changed = rows_of(mixed)
    else:
        features = pack_data.pack.extra.destroyed()[mixed]
        changed = StreamRows(pseudo_scores[mixed], _classes(pack_data, features), _array(features))
    return StreamSource(calibration, inside, changed, of == "val")


def _array(features: Features) -> NDArray[np.float32]:
    return features.z.float().numpy()


def _classes(pack_data: PackData, features: Features) -> Classes:
    train = pack_data.pack.train
    return assigned_classes(train, features, None if train.head else pack_data.class_mahalanobis)


def simulate(choice: StreamChoice, source: StreamSource) -> Monitored:
    """Returns a stream of a pack's rows, and what every test makes of it."""
    calibration, inside = source.calibration, source.inside
    changed = inside if source.changed is None else source.changed
    is_changed, index = mix_in(
        choice.rows,
        choice.share or 1.0,
        choice.moment if choice.has_change else choice.rows,
        len(inside.scores),
        len(changed.scores),
        choice.seed,
    )
    scores = _picked(inside.scores, changed.scores, is_changed, index)
    classes = _picked(inside.classes, changed.classes, is_changed, index)
    decision, refusal = decision_of(choice.keep, calibration.scores)
    batches = batches_at(choice.moment, choice.rows)
    features = [_picked(inside.z, changed.z, is_changed[batch], index[batch]) for batch in batches]
    return Monitored(
        scores,
        watch(decision, calibration.scores, scores, None, choice.window, seed=choice.seed),
        decision,
        refusal,
        choice.moment,
        0,
        is_changed,
        watch_slices(
            decision,
            calibration.scores,
            calibration.classes,
            scores,
            classes,
            seed=choice.seed,
        ),
        features,
        choice.seed,
    )


def _picked(
    inside: NDArray[Any],
    changed: NDArray[Any],
    is_changed: NDArray[np.bool],
    index: NDArray[np.int64],
) -> NDArray[Any]:
    """Returns the values of a stream's rows, (N, ...), each by its index among its own kind."""
    values = np.empty((len(index), *inside.shape[1:]), inside.dtype)
    values[~is_changed] = inside[index[~is_changed]]
    values[is_changed] = changed[index[is_changed]]
    return values


def monitor_file(choice: FileChoice, stream: StreamFile) -> Monitored:
    """Returns what every test makes of a file's rows, held against the first of them."""
    calm = choice.calm_rows
    calibration, scores = stream.scores[:calm], stream.scores[calm:]
    decision, refusal = decision_of(choice.keep, calibration)
    times = None if stream.times is None else stream.times[calm:]
    slices: list[SliceWatch] = []
    if choice.column:
        values = stream.columns[choice.column].values
        slices = watch_slices(decision, calibration, values[:calm], scores, values[calm:])
    return Monitored(
        scores,
        watch(decision, calibration, scores, times, choice.window),
        decision,
        refusal,
        choice.moment - calm,
        calm,
        None,
        slices,
    )


def decision_of(keep: float, calibration: Array) -> tuple[Decision, str]:
    """Returns the threshold that keeps a share of ID, and why it promises nothing, if it does not.

    Args:
        keep: share of new ID rows that are kept, at least.
        calibration: (n,) ID scores.
    """
    try:
        return Conformal(keep).fit(calibration), ""
    except ValueError as error:
        return KeepShare(keep).fit(calibration), str(error)


def batches_at(moment: int, rows: int) -> list[slice]:
    """Returns which rows of a stream lie before a moment, and which from it on, near it.

    >>> batches_at(50, 1000)
    [slice(0, 50, None), slice(50, 250, None)]
    """
    before = slice(max(0, moment - BATCH_ROWS), moment)
    return [before, slice(moment, min(rows, moment + BATCH_ROWS))]
