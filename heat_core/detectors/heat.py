"""HEAT and the EBM: detectors that learn an energy, with a prior and without."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from torch import Tensor

from heat_core.diagnostics import ToDiagnose
from heat_core.energies import Energy, GaussianMixture, OnView, Tempered, score
from heat_core.features import Features
from heat_core.pack import NO_EXTRA, ExtraID
from heat_core.training.negatives import (
    Sampler,
    standard_normal,
    uniform_cube,
    widened_mixture,
)
from heat_core.training.objectives import Objective
from heat_core.training.trainer import OnRecord, ignore

from .detector import Normalizing, Shape, check_temperature
from .learned_energy import EnergyLearner, FitContext, FromNoise, energies_within, is_zero

NOISE_SCALE = 3.0  # of the broad Gaussian that an EBM learns against: times the data's deviations


@dataclass(frozen=True)
class HEAT(Normalizing):
    """E_G / T_G + E_theta: Gaussians corrected by a learned energy.

    The noise that E_theta learns against stands for the tempered prior, q^(1/T_G): samples of q
    with deviations sqrt(T_G) times as large (for one Gaussian exactly that; for several, without
    the 1/T_G on their shares). With T_G = 1 and no normalising, as in the plane, the sum is -log p
    of the data. Normalised features have their noise projected to the sphere, whose density is not
    q's: there the sum is a score, not a log density.

    Args:
        temperature: T_G. By default 1 for a correction from noise, which must know it beforehand;
            for one from pseudo-OOD std(E_G) / std(E_theta) on the training features, so that both
            terms vary as much.
        correction: the learner of E_theta, which says what it learns from.

    Reference: Lafon et al. 2022 for the model; noise-contrastive training against q, and learning
    from pseudo-OOD, are ours.

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
    """

    temperature: float | None = None
    correction: EnergyLearner = FromNoise()
    title: ClassVar[str] = "HEAT"
    summary: ClassVar[str] = "Gaussians, and a learned correction where they are wrong"

    def __post_init__(self) -> None:
        check_temperature(self.prior_temperature)

    @property
    def prior_temperature(self) -> float:
        """T_G before E_theta has learned."""
        return 1.0 if self.temperature is None else self.temperature

    @property
    def objective(self) -> Objective:
        return self.correction.objective

    def term_names(self, shape: Shape) -> tuple[str, ...]:
        return "prior", "correction"

    def input_views(self, shape: Shape) -> tuple[str, ...]:
        return self.correction.input_views(shape)

    def build(self, shape: Shape) -> Energy:
        mixture = GaussianMixture(shape.dim, shape.classes)
        prior = OnView(self.placed(mixture), "z", 0, shape.dim)
        e_theta = self.correction.build(shape, self.normalize)
        return prior / self.prior_temperature + e_theta

    def fit(
        self,
        train: Features,
        seed: int = 0,
        on_record: OnRecord = ignore,
        extra: ExtraID = NO_EXTRA,
    ) -> Energy:
        energy = super().fit(train, seed)  # E_G / T_G + E_theta, which learns now
        prior, e_theta = energy.addends()
        self.correction.fit(e_theta, self._context(energy, train, extra), seed, on_record)
        if self.temperature is None and self.correction.balances_prior:
            balance(prior, e_theta, train.columns(self.input_views(Shape.of(train))))
        return energy.eval()

    def _context(self, energy: Energy, train: Features, extra: ExtraID) -> FitContext:
        """Returns what E_theta learns within: beside the prior, and against noise of its mixture.

        Args:
            energy: E_G / T_G + E_theta, its mixture fitted.
            train, extra: as `fit` takes them.
        """
        prior, _ = energy.addends()
        (mixture,) = energies_within(prior, GaussianMixture)
        inner_prior = (mixture / self.prior_temperature).to(mixture.means)
        context = FitContext(energy, train, extra, self.normalize, inner_prior)
        if not isinstance(self.correction, FromNoise):
            return context
        noise_sampler = self.make_noise_sampler(self.correction, mixture, train)
        return replace(context, noise_sampler=noise_sampler)

    def make_noise_sampler(
        self, learner: FromNoise, mixture: GaussianMixture, train: Features
    ) -> Sampler:
        """Returns the sampler of the noise: draws of the prior's mixture, widened.

        Args:
            learner: of E_theta; it says how wide, and on which manifold.
            mixture: fitted to the training features.
            train: these features.
        """
        noise_scale = learner.noise_scale
        if noise_scale is None:
            noise_scale = self.prior_temperature**0.5
        manifold = learner.noise_manifold(self.inner_z(train), self.normalize)
        return widened_mixture(mixture, noise_scale, manifold)

    def warning(self, energy: Energy) -> str:
        if not is_zero(energy):
            return ""
        return (
            "What was learned did not help to tell held-out ID features from perturbed ones, "
            "so this is the MoG."
        )

    def to_diagnose(self, energy: Energy, train: Features, extra: ExtraID, seed: int) -> ToDiagnose:
        _, e_theta = energy.addends()
        return self.correction.to_diagnose(e_theta, self._context(energy, train, extra), seed)


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
            3 times the data's, where it does not say another `noise_scale`.
        noise_origin: where noise is: `around` the data as above, or `normal`: N(0, I), where the
            paper's chains begin.

    Raises ValueError for an E_theta that is checked: there is no prior to fall back on.

    Reference: the model, Lafon et al. 2022; they train it by short-run MCMC.

    >>> EBM(learner=FromNoise(checked=True))
    Traceback (most recent call last):
    ValueError: an EBM has no prior that what it learned could be checked against.
    """

    learner: EnergyLearner = FromNoise()
    noise_origin: Literal["around", "normal"] = "around"
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

    def make_noise_sampler(self, learner: FromNoise, train: Features) -> Sampler:
        """Returns the sampler of the noise: around the training features, or N(0, I)."""
        z = self.inner_z(train)
        if self.noise_origin == "normal":
            return standard_normal(z)
        if not self.normalize:
            return uniform_cube(z)
        mixture = GaussianMixture(train.dim, classes=1).to(z).fit(Features(z))
        noise_scale = NOISE_SCALE if learner.noise_scale is None else learner.noise_scale
        return widened_mixture(mixture, noise_scale, learner.noise_manifold(z, self.normalize))

    def to_diagnose(self, energy: Energy, train: Features, extra: ExtraID, seed: int) -> ToDiagnose:
        return self.learner.to_diagnose(energy, self._context(energy, train, extra), seed)
