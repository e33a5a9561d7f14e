"""HEAT and the EBM: detectors that learn an energy, with a prior and without."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from heat_core.diagnostics import ToDiagnose
from heat_core.energies import (
    Energy,
    GaussianMixture,
    Logits,
    OnView,
    Tempered,
    WeightedSum,
    score,
)
from heat_core.features import Features
from heat_core.pack import NO_EXTRA, ExtraID
from heat_core.training.negatives import (
    DrawPoints,
    standard_normal,
    uniform_cube,
    widened_mixture,
)
from heat_core.training.objectives import Objective
from heat_core.training.trainer import OnRecord, ignore

from .detector import Normalizing, Shape, check_temperature
from .learned_energy import (
    EnergyLearner,
    FitContext,
    FromNoise,
    energies_within,
    is_zero,
    set_to_zero,
)
from .parts import (
    PARTS,
    check_parts,
    lack_of,
    members_of,
    reference_features,
    sum_of_parts,
    titles_of,
)

NOISE_SCALE = 3.0  # of the broad Gaussian that an EBM learns against: times the data's deviations
PRIOR = ("mog", "std_view", "energy", "early_layer")
GMM = ("mog",)
EL = ("energy",)
NAMES = {GMM: "HEAT-GMM", EL: "HEAT-EL"}
"""{a prior of one part: what its authors call HEAT with it}."""

NoiseOrigin = Literal["around", "normal"]


@dataclass(frozen=True)
class HEAT(Normalizing):
    """P / T_G + E_theta: a prior in closed form, corrected by a learned energy.

    The prior is a sum of energies on one scale, P = sum_i e_i with e_i = (E_i - mean) / std on
    held-out ID, so that no part needs a weight; parts that the features have no data for are left
    out. T_G = std(P) / std(E_theta): prior and correction speak as loud. A prior of one part is
    that energy itself, E_G: HEAT as it was published is HEAT-GMM, with the MoG alone; HEAT-EL has
    the classifier's free energy alone.

    The noise that E_theta learns against, where it learns from noise, stands for the tempered MoG,
    q^(1/T_G): samples of q with deviations sqrt(T_G) times as large (for one Gaussian exactly that;
    for several, without the 1/T_G on their shares). With T_G = 1, no normalising and no other part,
    as in the plane, the sum is -log p of the data. Normalised features have their noise projected
    to the sphere, whose density is not q's: there the sum is a score, not a log density. What is
    learned from noise corrects the MoG alone, so E_G / T_G + E_theta takes the MoG's place in P, as
    one part on the scale of the others.

    Args:
        temperature: T_G. By default 1 for the MoG alone with a correction from noise, which must
            know it beforehand; else std(P) / std(E_theta) on the training features, so that both
            terms vary as much. With other parts beside the MoG and a correction from noise it is
            that of the MoG.
        correction: the learner of E_theta, which says what it learns from.
        prior: the names of its parts, of `parts.PARTS`.
        noise_origin: where noise is: `around` the data as above, or `normal`: N(0, I).

    Raises ValueError on a temperature that is not above 0, and on parts that are not known.

    Reference: Lafon et al. 2022 for the model, Lafon et al. 2023, arXiv:2305.16966, for other
    priors; noise-contrastive training against q, learning from pseudo-OOD, and a prior of several
    parts are ours.

    >>> import torch
    >>> from heat_core.detectors.learned_energy import Perceptron
    >>> from heat_core.training.trainer import TrainConfig
    >>> training = TrainConfig(steps=20, batch=64, lr=1e-2)
    >>> detector = HEAT(correction=FromNoise(Perceptron(width=8, depth=1), training=training))
    >>> z = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)) + 2
    >>> energy = detector.fit(Features(z))
    >>> prior, e_theta = energy.addends()
    >>> inside, outside = energy(torch.tensor([[2.0, 2.0, 2.0], [-2.0, -2.0, -2.0]]))
    >>> bool(inside < outside)
    True
    >>> detector.readable_parts(Shape.of(Features(z, views={"std": z})))
    ('mog', 'std_view')
    """

    temperature: float | None = None
    correction: EnergyLearner = FromNoise()
    prior: tuple[str, ...] = PRIOR
    noise_origin: NoiseOrigin = "around"
    title: ClassVar[str] = "HEAT"
    summary: ClassVar[str] = "closed forms, corrected by a learned energy"

    def __post_init__(self) -> None:
        check_temperature(self.prior_temperature)
        object.__setattr__(self, "prior", check_parts(self.prior))

    @property
    def name(self) -> str:
        return NAMES.get(self.prior, self.title)

    @property
    def description(self) -> str:
        return f"{titles_of(self.prior)}, corrected by a learned energy"

    @property
    def prior_temperature(self) -> float:
        """T_G before E_theta has learned."""
        return 1.0 if self.temperature is None else self.temperature

    @property
    def objective(self) -> Objective:
        return self.correction.objective

    def readable_parts(self, shape: Shape) -> tuple[str, ...]:
        """Returns the parts of the prior that features of a shape bring the data for."""
        return tuple(name for name in self.prior if PARTS[name].is_readable(shape))

    def prior_part_titles(self, shape: Shape) -> tuple[str, ...]:
        return tuple(PARTS[name].title for name in self.readable_parts(shape))

    def left_out(self, shape: Shape) -> str:
        parts = self.readable_parts(shape)
        if parts == self.prior or not parts:
            return ""
        missing = [PARTS[name].needs for name in self.prior if name not in parts]
        return f"{self.name}'s prior is {titles_of(parts)}: there is {lack_of(missing)}."

    def unsupported_reason(self, shape: Shape) -> str:
        reason = super().unsupported_reason(shape)
        if reason:
            return reason
        parts = [PARTS[name] for name in self.readable_parts(shape)]
        if parts:
            reasons = (part.unsupported_reason(shape, self.normalize) for part in parts)
            return next(filter(None, reasons), "")
        needs = " or ".join(f"the {PARTS[name].needs}" for name in self.prior)
        return f"{self.name} needs {needs}, and there is none."

    def term_names(self, shape: Shape) -> tuple[str, ...]:
        return "prior", "correction"

    def input_views(self, shape: Shape) -> tuple[str, ...]:
        views = self.correction.input_views(shape)  # first: E_theta does not read what follows
        return tuple(
            dict.fromkeys((*views, *(PARTS[name].view for name in self.readable_parts(shape))))
        )

    def build(self, shape: Shape) -> Energy:
        views = self.input_views(shape)
        prior = sum_of_parts(self.readable_parts(shape), shape, views, self.normalize)
        e_theta = self.correction.build(shape, self.normalize)
        if self.correction.input_views(shape) == ("z",) != views:
            e_theta = OnView(e_theta, "z", 0, shape.dim)
        return prior / self.prior_temperature + e_theta

    def fit(
        self,
        train: Features,
        seed: int = 0,
        on_record: OnRecord = ignore,
        extra: ExtraID = NO_EXTRA,
    ) -> Energy:
        energy = super().fit(train, seed)  # P / T_G + E_theta, which learns now
        _, e_theta = energy.addends()
        context = self._context(energy, train, extra)
        self.correction.fit(_without_view(e_theta), context, seed, on_record)
        self._set_scales(energy, train, extra, seed)
        if not self._helps(energy, context, seed):
            set_to_zero(e_theta)
            self._set_scales(energy, train, extra, seed)
        return energy.eval()

    def _set_scales(self, energy: Energy, train: Features, extra: ExtraID, seed: int) -> None:
        """Puts the parts of the prior on one scale, and sets T_G.

        Args:
            energy: P / T_G + E_theta, fitted.
            train, extra, seed: as `fit` takes them.
        """
        shape = Shape.of(train)
        views, parts = self.input_views(shape), self.readable_parts(shape)
        prior, e_theta = energy.addends()
        reference = reference_features(train, extra, seed).columns(views)
        for weighted_sum in energies_within(prior, WeightedSum):
            weighted_sum.standardise(reference)
        corrects_mog = "mog" in parts and not self.correction.balances_prior
        if corrects_mog and len(parts) > 1:
            self._correct_part(parts.index("mog"), energy, reference)
        elif self.temperature is None and not corrects_mog:
            balance(prior, e_theta, train.columns(views))

    def _correct_part(self, i: int, energy: Energy, reference: Tensor) -> None:
        """Sets T_G and the weight of the prior's i-th part so that it counts once with E_theta.

        E_i / T + E_theta has a standard deviation s on held-out ID, and takes the place of e_i, one
        of deviation 1: s P + E_theta = E_i / T + E_theta + s times the other e_j, up to a constant.

        Args:
            i: which part E_theta corrects, learned beside E_i / T.
            energy: P / T_G + E_theta, its prior a weighted sum, fitted and standardised.
            reference: (N, columns) ID.
        """
        prior, e_theta = energy.addends()
        (tempered,) = energies_within(prior, Tempered)
        (weighted_sum,) = energies_within(prior, WeightedSum)
        part = score(weighted_sum.members[i], reference) / self.prior_temperature
        std = float((part + score(e_theta, reference)).std())
        weights = torch.ones_like(weighted_sum.weights)
        if min(std, float(part.std())) > 0:
            weights[i] = float(part.std()) / std
            tempered.temperature.fill_(1 / std)
        weighted_sum.store(weights=weights)

    def _helps(self, energy: Energy, context: FitContext, seed: int) -> bool:
        """Returns whether E_theta of a fitted P / T_G + E_theta stays, as its learner has it."""
        if not isinstance(self.correction, FromNoise):
            return True
        views = self.input_views(Shape.of(context.train))
        return self.correction.helps(self._of_z(energy, context.train), views, context, seed)

    def _of_z(self, energy: Energy, train: Features) -> Energy:
        """Returns a copy of P / T_G + E_theta without the parts of P that read another view."""
        energy = copy.deepcopy(energy)
        reads_z = [PARTS[name].view == "z" for name in self.readable_parts(Shape.of(train))]
        for weighted_sum in energies_within(energy, WeightedSum):
            weighted_sum.weights *= torch.tensor(reads_z, device=weighted_sum.weights.device)
        return energy

    def _context(self, energy: Energy, train: Features, extra: ExtraID) -> FitContext:
        """Returns what E_theta learns within: beside the prior, and against noise of Gaussians.

        Args:
            energy: P / T_G + E_theta, its closed forms fitted.
            train, extra: as `fit` takes them.

        Raises ValueError for chains on a prior that is no energy of what E_theta sees.
        """
        inner_prior = self._inner_prior(energy, Shape.of(train))
        if inner_prior is None and self.objective.samples_model:
            raise ValueError(
                f"{self.name} samples its model by chains, which must know the prior where E_theta "
                f"sees z; got {titles_of(self.prior)} and normalize={self.normalize}."
            )
        context = FitContext(energy, train, extra, self.normalize, inner_prior)
        if not isinstance(self.correction, FromNoise):
            return context
        noise_sampler = self.make_noise_sampler(self.correction, context.mixture(), train)
        return replace(context, noise_sampler=noise_sampler)

    def _inner_prior(self, energy: Energy, shape: Shape) -> Energy | None:
        """Returns the tempered MoG of the prior, or else its logits' energy, as E_theta sees z.

        None where the prior has neither, and of logits where E_theta sees z / ||z||.

        Args:
            energy: P / T_G + E_theta, its closed forms fitted.
            shape: of the training features.
        """
        prior, _ = energy.addends()
        (tempered,) = energies_within(prior, Tempered)
        parts = self.readable_parts(shape)
        members = dict(zip(parts, members_of(tempered.energy), strict=True))
        if "mog" in parts:
            (mixture,) = energies_within(members["mog"], GaussianMixture)
            return (mixture / self.prior_temperature).to(mixture.means)
        if "energy" in parts and not self.normalize:
            (logits,) = energies_within(members["energy"], Logits)
            return (logits / self.prior_temperature).to(logits.weight)
        return None

    def make_noise_sampler(
        self, learner: FromNoise, mixture: GaussianMixture, train: Features
    ) -> DrawPoints:
        """Returns the sampler of the noise: draws of Gaussians, widened, or N(0, I).

        Args:
            learner: of E_theta; it says how wide, and on which manifold.
            mixture: fitted to the training features.
            train: these features.
        """
        noise_scale = learner.noise_scale
        if self.noise_origin == "normal":
            return standard_normal(self.inner_z(train), 1.0 if noise_scale is None else noise_scale)
        if noise_scale is None:
            noise_scale = self.prior_temperature**0.5
        manifold = learner.noise_manifold(self.inner_z(train), self.normalize)
        return widened_mixture(mixture, noise_scale, manifold)

    def warning(self, energy: Energy, shape: Shape) -> str:
        if not is_zero(energy):
            return ""
        rest = f"the {titles_of(self.prior)}" if len(self.prior) == 1 else "the prior alone"
        return (
            "What was learned did not help to tell held-out ID features from perturbed ones, "
            f"so this is {rest}."
        )

    def to_diagnose(self, energy: Energy, train: Features, extra: ExtraID, seed: int) -> ToDiagnose:
        _, e_theta = energy.addends()
        context = self._context(energy, train, extra)
        return self.correction.to_diagnose(_without_view(e_theta), context, seed)


def _without_view(e_theta: Energy) -> Energy:
    """Returns E_theta as its learner built it, without what gives it its columns of the input."""
    return e_theta.energy if isinstance(e_theta, OnView) else e_theta


def balance(prior: Energy, e_theta: Energy, inputs: Tensor) -> None:
    """Sets the temperature of a tempered prior so that it varies as much as E_theta.

    Args:
        prior: E_G / T_G of (N, d); T_G becomes std(E_G) / std(E_theta), or 1 where either is 0.
        e_theta: E_theta, of the same.
        inputs: (N, d), over which the standard deviations are taken.
    """
    (tempered,) = energies_within(prior, Tempered)
    prior_std = float(score(tempered.energy, inputs).std())
    e_theta_std = float(score(e_theta, inputs).std())
    vary = min(prior_std, e_theta_std) > 0
    tempered.temperature.fill_(prior_std / e_theta_std if vary else 1.0)


@dataclass(frozen=True)
class EBM(Normalizing):
    """E_theta alone.

    In the plane the noise is uniform on a cube well around the data, so there E_theta = -log p up
    to a constant. On normalised features uniform noise is so far away that telling it apart teaches
    nothing (the validation loss is 0 at once), so the noise is one broad Gaussian with the data's
    mean and covariance, on the sphere: E_theta = log n - log p.

    Args:
        learner: of E_theta; it says what E_theta learns from. The broad Gaussian's deviations are
            3 times the data's, where it does not say another `noise_scale`; cube and N(0, I) are
            as many times as wide as it says.
        noise_origin: where noise is: `around` the data as above, or `normal`: N(0, I), where the
            paper's chains begin.

    Raises ValueError for an E_theta that is checked: there is no prior to fall back on.

    Reference: the model, Lafon et al. 2022; they train it by short-run MCMC.

    >>> EBM(learner=FromNoise(checked=True))
    Traceback (most recent call last):
    ValueError: an EBM has no prior that what it learned could be checked against.
    """

    learner: EnergyLearner = FromNoise()
    noise_origin: NoiseOrigin = "around"
    title: ClassVar[str] = "EBM"
    summary: ClassVar[str] = "an energy learned alone, without a prior"

    def __post_init__(self) -> None:
        if isinstance(self.learner, FromNoise) and self.learner.checked:
            raise ValueError("an EBM has no prior that what it learned could be checked against.")

    @property
    def objective(self) -> Objective:
        return self.learner.objective

    def input_views(self, shape: Shape) -> tuple[str, ...]:
        return self.learner.input_views(shape)

    def build(self, shape: Shape) -> Energy:
        return self.learner.build(shape, self.normalize)

    def fit(
        self,
        train: Features,
        seed: int = 0,
        on_record: OnRecord = ignore,
        extra: ExtraID = NO_EXTRA,
    ) -> Energy:
        energy = super().fit(train, seed)
        self.learner.fit(energy, self._context(energy, train, extra), seed, on_record)
        return energy.eval()

    def _context(self, energy: Energy, train: Features, extra: ExtraID) -> FitContext:
        """Returns what E_theta learns within: alone, and against noise around the features."""
        context = FitContext(energy, train, extra, self.normalize)
        if not isinstance(self.learner, FromNoise):
            return context
        return replace(context, noise_sampler=self.make_noise_sampler(self.learner, train))

    def make_noise_sampler(self, learner: FromNoise, train: Features) -> DrawPoints:
        """Returns the sampler of the noise: around the training features, or N(0, I)."""
        z = self.inner_z(train)
        by_default = NOISE_SCALE if self.normalize and self.noise_origin == "around" else 1.0
        noise_scale = by_default if learner.noise_scale is None else learner.noise_scale
        if self.noise_origin == "normal":
            return standard_normal(z, noise_scale)
        if not self.normalize:
            return uniform_cube(z, scale=noise_scale)
        mixture = GaussianMixture(train.dim, classes=1).to(z).fit(Features(z))
        return widened_mixture(mixture, noise_scale, learner.noise_manifold(z, self.normalize))

    def to_diagnose(self, energy: Energy, train: Features, extra: ExtraID, seed: int) -> ToDiagnose:
        return self.learner.to_diagnose(energy, self._context(energy, train, extra), seed)
