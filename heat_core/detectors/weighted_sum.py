"""The weighted sum of any detectors on one scale, and detectors of another view."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from heat_core.diagnostics import ToDiagnose
from heat_core.energies import Energy, OnColumns, WeightedSum, working_precision
from heat_core.features import Features
from heat_core.pack import NO_EXTRA, ExtraID
from heat_core.training.objectives import Objective
from heat_core.training.trainer import OnRecord, Record, ignore

from .detector import Detector, Shape
from .learned_energy import energies_within
from .parts import reference_features, view_starts


@dataclass(frozen=True)
class OfView(Detector):
    """A detector of a view of the features, which it sees as z.

    Args:
        view: which.
        detector: fitted to the view for z, without a head.

    >>> from heat_core.detectors.closed_form import MoG
    >>> OfView("std", MoG()).unsupported_reason(Shape(dim=3, classes=2, rows=90, head=0))
    'MoG of std needs the view std, and there is none.'
    """

    view: str
    detector: Detector
    title: ClassVar[str] = "OfView"
    summary: ClassVar[str] = "a detector of another view"

    @property
    def name(self) -> str:
        return f"{self.detector.name} of {self.view}"

    @property
    def description(self) -> str:
        return f"{self.detector.description}, of the view {self.view}"

    @property
    def objective(self) -> Objective | None:
        return self.detector.objective

    def unsupported_features(self, train: Features) -> str:
        reason = self.unsupported_reason(Shape.of(train))
        return reason or self.detector.unsupported_features(train.view(self.view))

    def unsupported_reason(self, shape: Shape) -> str:
        if self.view not in shape.views:
            return f"{self.name} needs the view {self.view}, and there is none."
        return self.detector.unsupported_reason(self._inner(shape))

    def term_names(self, shape: Shape) -> tuple[str, ...]:
        return self.detector.term_names(self._inner(shape))

    def prior_part_titles(self, shape: Shape) -> tuple[str, ...]:
        return self.detector.prior_part_titles(self._inner(shape))

    def input_views(self, shape: Shape) -> tuple[str, ...]:
        return (self.view,)

    def build(self, shape: Shape) -> Energy:
        return self.detector.build(self._inner(shape))

    def fit(
        self,
        train: Features,
        seed: int = 0,
        on_record: OnRecord = ignore,
        extra: ExtraID = NO_EXTRA,
    ) -> Energy:
        reason = self.unsupported_features(train)
        if reason:
            raise ValueError(reason)
        return self.detector.fit(train.view(self.view), seed, on_record, extra.view(self.view))

    def warning(self, energy: Energy, shape: Shape) -> str:
        return self.detector.warning(energy, self._inner(shape))

    def chosen_settings(self, energy: Energy, shape: Shape) -> dict[str, float]:
        return self.detector.chosen_settings(energy, self._inner(shape))

    def to_diagnose(
        self, energy: Energy, train: Features, extra: ExtraID, seed: int
    ) -> ToDiagnose | None:
        view = train.view(self.view)
        return self.detector.to_diagnose(energy, view, extra.view(self.view), seed)

    def _inner(self, shape: Shape) -> Shape:
        """Returns the shape of the features with the view for z."""
        return Shape(shape.width(self.view), shape.classes, shape.rows, head=0)


@dataclass(frozen=True)
class WeightedSumOf(Detector):
    """sum_i w_i e_i over detectors: e_i is the i-th score in standard deviations of ID.

    These are taken on held-out ID where there is some, else on a sample of the training rows. A
    detector that the features have
    no data for is left out. HEAT of 2023 is such a sum of three HEATs, each with its own prior.

    Args:
        detectors: at least one, each fitted by itself.
        weights: w_i of each, 0 or more; 1 by default.
        beta: 0 sums; otherwise logsumexp(beta w_i e_i) / beta, inf the largest, -inf the smallest.

    Raises ValueError unless there is a weight for each detector, and one above 0.

    Reference: Lafon et al. 2023, arXiv:2305.16966.

    >>> from heat_core.detectors.closed_form import KNN, MoG
    >>> detector = WeightedSumOf((MoG(), KNN(k=5)), weights=(2.0, 1.0))
    >>> detector.term_names(Shape(dim=2, classes=3, rows=90, head=0))
    ('MoG', 'KNN')
    """

    detectors: tuple[Detector, ...]
    weights: tuple[float, ...] = ()
    beta: float = 0.0
    title: ClassVar[str] = "WeightedSumOf"
    summary: ClassVar[str] = "several scores on one scale, added up"

    def __post_init__(self) -> None:
        object.__setattr__(self, "detectors", tuple(self.detectors))
        object.__setattr__(self, "weights", tuple(self.weights) or (1.0,) * len(self.detectors))
        if len(self.weights) != len(self.detectors):
            raise ValueError(
                f"there must be a weight for each of {len(self.detectors)} detectors, "
                f"got {len(self.weights)}."
            )
        if not any(self.weights) or min(self.weights) < 0:
            raise ValueError(f"weights must be 0 or more, and one above 0; got {self.weights}.")

    @property
    def name(self) -> str:
        return " + ".join(detector.name for detector in self.detectors)

    @property
    def objective(self) -> Objective | None:
        """The loss by which the first learns that learns at all; None where none does."""
        objectives = (detector.objective for detector in self.detectors)
        return next((objective for objective in objectives if objective is not None), None)

    def supported(self, shape: Shape) -> tuple[tuple[Detector, float], ...]:
        """Returns (detector, weight) of those that can be fitted to features of a shape."""
        pairs = zip(self.detectors, self.weights, strict=True)
        return tuple(pair for pair in pairs if not pair[0].unsupported_reason(shape))

    def left_out(self, shape: Shape) -> str:
        reasons = [detector.unsupported_reason(shape) for detector in self.detectors]
        return " ".join(f"Left out: {reason}" for reason in reasons if reason)

    def unsupported_reason(self, shape: Shape) -> str:
        if any(weight for _, weight in self.supported(shape)):
            return ""
        return " ".join(detector.unsupported_reason(shape) for detector in self.detectors)

    def unsupported_features(self, train: Features) -> str:
        shape = Shape.of(train)
        reasons = (detector.unsupported_features(train) for detector, _ in self.supported(shape))
        return self.unsupported_reason(shape) or next(filter(None, reasons), "")

    def warning(self, energy: Energy, shape: Shape) -> str:
        texts = (
            detector.warning(member, shape) for detector, member in self._members(energy, shape)
        )
        return " ".join(filter(None, texts))

    def chosen_settings(self, energy: Energy, shape: Shape) -> dict[str, float]:
        return {
            f"{detector.name} {setting}": value
            for detector, member in self._members(energy, shape)
            for setting, value in detector.chosen_settings(member, shape).items()
        }

    def _members(self, energy: Energy, shape: Shape) -> list[tuple[Detector, Energy]]:
        """Returns (detector, its energy) of each member of a fitted sum."""
        (weighted_sum,) = energies_within(energy, WeightedSum)[:1]
        detectors = [detector for detector, _ in self.supported(shape)]
        members = [
            member.energy for member in weighted_sum.members if isinstance(member, OnColumns)
        ]
        return list(zip(detectors, members, strict=True))

    def term_names(self, shape: Shape) -> tuple[str, ...]:
        """Returns the detectors' names; of those of one name, the second has a 2 behind it."""
        names = [detector.name for detector, _ in self.supported(shape)]
        counts = [Counter(names[: i + 1])[name] for i, name in enumerate(names)]
        return tuple(
            name if count == 1 else f"{name} {count}"
            for name, count in zip(names, counts, strict=True)
        )

    def input_views(self, shape: Shape) -> tuple[str, ...]:
        views: dict[str, None] = {}
        for detector, _ in self.supported(shape):
            views |= dict.fromkeys(detector.input_views(shape))
        return tuple(views)

    def build(self, shape: Shape) -> Energy:
        return self._sum_of([detector.build(shape) for detector, _ in self.supported(shape)], shape)

    def _sum_of(self, energies: Sequence[Energy], shape: Shape) -> WeightedSum:
        """Returns the weighted sum of the detectors' energies, each of the columns it reads."""
        starts = view_starts(shape, self.input_views(shape))
        members = []
        for energy, (detector, _) in zip(energies, self.supported(shape), strict=True):
            spans = [(starts[view], shape.width(view)) for view in detector.input_views(shape)]
            members.append(OnColumns(energy, spans))
        return WeightedSum(members, [weight for _, weight in self.supported(shape)], self.beta)

    def fit(
        self,
        train: Features,
        seed: int = 0,
        on_record: OnRecord = ignore,
        extra: ExtraID = NO_EXTRA,
    ) -> Energy:
        shape = Shape.of(train)
        reason = self.unsupported_reason(shape)
        if reason:
            raise ValueError(reason)
        energies = []
        detectors = [detector for detector, _ in self.supported(shape)]
        trainings = sum(detector.trains for detector in detectors)
        done = 0
        for detector in detectors:
            reports = _as_one_of_several(on_record, done, trainings)
            energies.append(detector.fit(train, seed, reports, extra))
            done += detector.trains
        total = self._sum_of(energies, shape).to(train.z.device, working_precision(train.z))
        reference = reference_features(train, extra, seed)
        return total.standardise(reference.columns(self.input_views(shape))).eval()


def _as_one_of_several(on_record: OnRecord, done: int, trainings: int) -> OnRecord:
    """Returns what reports the records of a training as those of one of several.

    Args:
        done: how many trainings came before.
        trainings: how many there are.
    """

    def report(record: Record, energy: Energy) -> None:
        step = done * record.steps + record.step
        on_record(replace(record, step=step, steps=trainings * record.steps), energy)

    return report
