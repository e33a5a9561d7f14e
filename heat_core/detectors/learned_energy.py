"""Learners of energies E_theta: their networks, and what they learn from: noise or pseudo-OOD."""

from __future__ import annotations

import abc
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from heat_core.diagnostics import ToDiagnose
from heat_core.energies import (
    DirectionAndNorm,
    Energy,
    Ensemble,
    GaussianMixture,
    Network,
    Normalized,
    Sum,
    on_sphere,
    score,
    working_precision,
)
from heat_core.features import Features
from heat_core.images.pseudo import TWO_FAMILIES
from heat_core.metrics import auroc
from heat_core.pack import NO_EXTRA, ExtraID
from heat_core.sampling import Manifold
from heat_core.splits import hold_out, sample
from heat_core.training.negatives import DrawPoints, manifold_of, perturbed
from heat_core.training.objectives import LeastSquares, NoiseContrastive, Objective
from heat_core.training.trainer import OnRecord, Record, TrainConfig, Trainer, TrainingTask

from .detector import Shape
from .shared_learning import Learned, shared_learning

DIAGNOSED_ROWS = 4000  # rows of data that a diagnosis looks at
PERTURBED_ROWS = 2000  # rows of a family made of features
CHECK_SHARE = 0.1  # of the rows check what was learned, where no other ID data is held out

E = TypeVar("E", bound=Energy)


def energies_within(energy: Energy, kind: type[E]) -> list[E]:
    """Returns the energies of a class that an energy is made of, itself included, in order."""
    return [module for module in energy.modules() if isinstance(module, kind)]


@dataclass(frozen=True)
class Perceptron:
    """The size of a learned energy; the fields are those of `energies.Network`.

    >>> sum(weights.numel() for weights in Perceptron(width=8, depth=2).build(dim=3).parameters())
    113
    """

    width: int = 256
    depth: int = 3
    frequencies: int = 0
    bandwidth: float = 1.0
    plain: bool = False
    temperature: float = 1.0

    def build(self, dim: int, count: int = 1) -> Network | Ensemble:
        """Returns a blank network of (N, dim), or the mean of several."""
        networks = [
            Network(
                dim,
                self.width,
                self.depth,
                self.frequencies,
                self.bandwidth,
                self.plain,
                self.temperature,
            )
            for _ in range(count)
        ]
        return networks[0] if count == 1 else Ensemble(networks)


# -- what is learned, and where it belongs ---------------------------------------------------------


def no_noise(count: int, generator: torch.Generator) -> Tensor:
    """The noise sampler of a detector that has no noise. Raises ValueError."""
    raise ValueError("this detector has no noise that an energy could learn from.")


@dataclass(frozen=True, eq=False)
class FitContext:
    """The fitted energy that a learned energy is a part of, and the features that it learns from.

    Args:
        energy: the whole energy, its closed forms fitted.
        train: ID features.
        extra: what else was made of ID images.
        normalize: whether what learns from noise sees z / ||z|| for z.
        inner_prior: the energy that is added to E_theta, as a function of what its networks see;
            None where E_theta stands alone.
        noise_sampler: draws the noise that a `FromNoise` learns against.
    """

    energy: Energy
    train: Features
    extra: ExtraID = NO_EXTRA
    normalize: bool = False
    inner_prior: Energy | None = None
    noise_sampler: DrawPoints = no_noise

    def inner_features(self) -> Features:
        """Returns the training features, on the unit sphere if the detector normalises."""
        return on_sphere(self.train) if self.normalize else self.train

    def inner_z(self) -> Tensor:
        """Returns z of `inner_features`, (N, d), at least in float32."""
        return self.inner_features().z.to(working_precision(self.train.z))

    def mixture(self) -> GaussianMixture:
        """Returns the Gaussians of `inner_features`: the prior's, or fitted where it has none."""
        if self.inner_prior is not None:
            for mixture in energies_within(self.inner_prior, GaussianMixture):
                return mixture
        mixture = GaussianMixture(self.train.dim, len(self.train.classes))
        return mixture.to(self.train.z.device).fit(self.inner_features())


@dataclass(frozen=True)
class EnergyLearner(abc.ABC):
    """The learner of E_theta: the size of its networks, and how they learn.

    E_theta itself, an energy, is what it builds and fits.

    Args:
        network: the size of each network.
        objective: the loss, and where negatives come from.
        training: optimiser, schedule, and which weights are kept.
        network_count: how many networks, trained together from seeds of their own; E_theta is
            their mean, which varies less (Lakshminarayanan et al. 2017, arXiv:1612.01474).

    Raises ValueError without a network.
    """

    network: Perceptron = Perceptron()
    objective: Objective = NoiseContrastive()
    training: TrainConfig = TrainConfig()
    network_count: int = 1

    def __post_init__(self) -> None:
        if self.network_count < 1:
            raise ValueError(f"network_count must be at least 1, got {self.network_count}.")

    @property
    @abc.abstractmethod
    def balances_prior(self) -> bool:
        """Whether a prior beside it is scaled to vary as much, once E_theta is learned."""

    @abc.abstractmethod
    def input_views(self, shape: Shape) -> tuple[str, ...]:
        """Returns the views that E_theta reads, side by side; `z` is the features themselves."""

    @abc.abstractmethod
    def build(self, shape: Shape, normalize: bool) -> Energy:
        """Returns a blank E_theta; `normalize` says whether noise and data lie on the sphere."""

    @abc.abstractmethod
    def tasks(self, e_theta: Energy, context: FitContext) -> list[TrainingTask]:
        """Returns a training task for each network of a blank E_theta in its context."""

    @abc.abstractmethod
    def to_diagnose(self, e_theta: Energy, context: FitContext, seed: int) -> ToDiagnose:
        """Returns what there is to diagnose of a fitted E_theta in its context."""

    def fit(self, e_theta: Energy, context: FitContext, seed: int, on_record: OnRecord) -> None:
        """Trains E_theta, as `build` gave it and a part of `context.energy`, in place.

        Raises:
            ValueError: the context lacks what E_theta learns from.
            Diverged: training left what numbers can hold.
        """
        trainer = Trainer(self.objective, self.training)
        trainer.fit(self.tasks(e_theta, context), seed, on_record)


# -- from noise ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FromNoise(EnergyLearner):
    """The learner of E_theta from data and noise, or from samples of the model begun at noise.

    The detector says what the noise is. Against noise of density n, E_theta = log n - log p.

    Args:
        noise_scale: how many times as large the noise's standard deviations are as those of the
            density that it is drawn from; by default the detector's own choice.
        checked: what was learned stays only if it helps: if the whole energy tells held-out ID
            features (`val`, or a tenth of the training features) from `negatives.perturbed` ones,
            of kinds that it was not trained on, better than the prior alone does. Else E_theta is
            0, and the scores rank as the prior's. Only z can be perturbed, so parts of the prior
            that read another view take no part in this, on either side.

    >>> learner = FromNoise(Perceptron(width=8, depth=1), training=TrainConfig(steps=20, batch=32))
    >>> blank = learner.build(Shape(dim=3, classes=2, rows=90, head=0), normalize=True)
    >>> blank(torch.ones(5, 3)).shape
    torch.Size([5])
    """

    noise_scale: float | None = None
    checked: bool = False

    @property
    def balances_prior(self) -> bool:
        """No: the prior's temperature sets the noise, so it is known before E_theta learns."""
        return False

    def input_views(self, shape: Shape) -> tuple[str, ...]:
        return ("z",)

    def build(self, shape: Shape, normalize: bool) -> Energy:
        networks = self.network.build(shape.dim, self.network_count)
        return Normalized(networks) if normalize else networks

    def noise_manifold(self, z: Tensor, normalize: bool) -> Manifold:
        """Returns where noise lies: where data z, (N, d), does, or where chains from it walk."""
        if self.objective.chain_manifold is not None:
            return self.objective.chain_manifold
        return manifold_of(z) if normalize else "space"

    def tasks(self, e_theta: Energy, context: FitContext) -> list[TrainingTask]:
        z = context.inner_z()
        return [
            TrainingTask(network, z, context.noise_sampler, context.energy, context.inner_prior)
            for network in energies_within(e_theta, Network)
        ]

    def fit(self, e_theta: Energy, context: FitContext, seed: int, on_record: OnRecord) -> None:
        if self.checked:
            train, _ = _split_check(context, seed)
            context = replace(context, train=train)
        super().fit(e_theta, context, seed, on_record)

    def helps(self, energy: Energy, views: Sequence[str], context: FitContext, seed: int) -> bool:
        """Returns whether E_theta is worth keeping beside its prior; always, if it is not checked.

        Args:
            energy: the sum of prior and E_theta, as far as it reads z.
            views: side by side in its input, z the first.
            context, seed: as `fit` took them.
        """
        if not self.checked:
            return True
        _, held_out = _split_check(context, seed)
        return _improves_prior(energy, held_out, views, seed)

    def to_diagnose(self, e_theta: Energy, context: FitContext, seed: int) -> ToDiagnose:
        inner_energy = e_theta.energy if isinstance(e_theta, Normalized) else e_theta
        prior = context.inner_prior
        total = inner_energy if prior is None else Sum(prior, inner_energy)
        mixture = context.mixture()
        context = replace(context, train=sample(context.train, DIAGNOSED_ROWS, seed))
        z = context.inner_z()
        generator = torch.Generator(z.device).manual_seed(seed + 1)
        negatives = context.noise_sampler(len(z), generator)
        is_density = not context.normalize or self.objective.samples_model
        return ToDiagnose(
            total, inner_energy, mixture, z, negatives, self.objective.bound, is_density
        )


def _split_check(context: FitContext, seed: int) -> tuple[Features, Features]:
    """Returns the features to learn from, and those that check what was learned."""
    train = context.train
    if context.extra.val is not None:
        return train, context.extra.val
    rest, check = hold_out(train, CHECK_SHARE, seed)
    return replace(rest, moments=train.moments), check


def _improves_prior(energy: Energy, held_out: Features, views: Sequence[str], seed: int) -> bool:
    """Returns whether a prior + E_theta tells ID from perturbed ID better than the prior alone.

    Args:
        energy: the sum of the two.
        held_out: ID; other views than z stay as they are.
        views: side by side in the energy's input, z the first.
        seed: of the perturbation.
    """
    z = held_out.z.to(working_precision(held_out.z))
    kinds = perturbed(z, torch.Generator(z.device).manual_seed(seed))
    others = [held_out.views[name] for name in views[1:]]

    def total_auroc(energy: Energy) -> float:
        inside = score(energy, torch.cat([z, *others], 1))
        outside = [score(energy, torch.cat([kind, *others], 1)) for kind in kinds.values()]
        return sum(auroc(inside, scores) for scores in outside)

    prior, *_ = energy.addends()
    return total_auroc(energy) > total_auroc(prior)


def _output_layers(energy: Energy) -> list[nn.Linear]:
    """Returns the last layer of every network in an energy."""
    layers = [network.layers[-1] for network in energies_within(energy, Network)]
    return [layer for layer in layers if isinstance(layer, nn.Linear)]


def set_to_zero(e_theta: Energy) -> None:
    """Makes a learned energy 0 everywhere, as it is where it does not help."""
    for layer in _output_layers(e_theta):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)


def is_zero(e_theta: Energy) -> bool:
    """Returns whether a learned energy is 0 everywhere, as `set_to_zero` makes it."""
    return not any(layer.weight.any() or layer.bias.any() for layer in _output_layers(e_theta))


# -- from pseudo-OOD -------------------------------------------------------------------------------


@dataclass(frozen=True)
class FromPseudoOOD(EnergyLearner):
    """The learner of E_theta from ID features and those of destroyed ID images: of a critic.

    E_theta sees [z / ||z||, log ||z||] and, where there is one, the same of the std-pooled view. It
    is a bounded verdict of ID against destroyed ID, not the log of a density ratio. No OOD image is
    seen. Which average of the weights is kept is decided on held-out ID images and their destroyed
    versions, where the pack has them.

    Its inputs are standardised, and those of both sides are jittered by `training.jitter`
    deviations: without that E_theta learns the families' own textures, and judges families that it
    was not shown worse than Gaussians do.

    Args:
        training: `jitter` is in standard deviations of the training features.
        two_families_weight: the weight of the family of images destroyed by two families in a row;
            each other family has weight 1.

    >>> shape = Shape(dim=3, classes=2, rows=90, head=0, views={"std": 3})
    >>> FromPseudoOOD().input_views(shape)
    ('z', 'std')
    """

    network: Perceptron = Perceptron(width=128, depth=2)
    objective: Objective = LeastSquares()
    training: TrainConfig = TrainConfig(
        steps=300, batch=256, lr=1e-4, weight_decay=1e-2, jitter=2.0
    )
    two_families_weight: float = 4.0

    @property
    def balances_prior(self) -> bool:
        """Yes: E_theta is bounded, and the prior is not."""
        return True

    def input_views(self, shape: Shape) -> tuple[str, ...]:
        return ("z", "std") if "std" in shape.views else ("z",)

    def build(self, shape: Shape, normalize: bool = False) -> Energy:
        widths = {name: shape.width(name) for name in self.input_views(shape)}
        dim = sum(widths.values()) + len(widths)
        return DirectionAndNorm(self.network.build(dim, self.network_count), widths)

    def fit(self, e_theta: Energy, context: FitContext, seed: int, on_record: OnRecord) -> None:
        """Trains E_theta in place, or takes what `learn_once` has of the same training."""
        shared = shared_learning()
        key = self._training_key(context.train, seed)
        known = shared and shared.find(key)
        if known:
            known.give_to(e_theta, context.energy, on_record)
            return
        history: list[Record] = []

        def keep_record(record: Record, energy: Energy) -> None:
            history.append(record)
            on_record(record, energy)

        super().fit(e_theta, context, seed, keep_record)
        if shared:
            state = {name: value.clone() for name, value in e_theta.state_dict().items()}
            shared.keep(key, Learned(state, tuple(history)))

    def _training_key(self, train: Features, seed: int) -> Hashable:
        """Returns what tells one training within a pack from another."""
        columns = train.columns(self.input_views(Shape.of(train)))
        return self, seed, tuple(columns.shape), float(columns.double().sum())

    def tasks(self, e_theta: Energy, context: FitContext) -> list[TrainingTask]:
        extra = context.extra
        if not extra.pseudo:
            raise ValueError("learning from pseudo-OOD families needs some, and there are none.")
        dtype = working_precision(context.train.z)
        negatives = torch.cat([_mapped(e_theta, f, dtype) for f in extra.pseudo.values()])
        weights = self._row_weights(extra.pseudo).to(negatives)

        def sample_negatives(count: int, generator: torch.Generator) -> Tensor:
            rows = torch.multinomial(weights, count, replacement=True, generator=generator)
            return negatives[rows]

        validation = None
        if extra.val is not None and extra.pseudoval:
            val_negatives = [_mapped(e_theta, f, dtype) for f in extra.pseudoval.values()]
            validation = _mapped(e_theta, extra.val, dtype), torch.cat(val_negatives)
        z = _mapped(e_theta, context.train, dtype)
        return [
            TrainingTask(network, z, sample_negatives, context.energy, validation=validation)
            for network in energies_within(e_theta, Network)
        ]

    def to_diagnose(self, e_theta: Energy, context: FitContext, seed: int) -> ToDiagnose:
        """Returns its size and its gap to diagnose: it is no density, so chains mean nothing."""
        (critic,) = energies_within(e_theta, DirectionAndNorm)
        train = context.train
        dtype = working_precision(train.z)
        first_family = next(iter(context.extra.pseudo.values()))
        z = _mapped(e_theta, sample(train, DIAGNOSED_ROWS, seed), dtype)
        negatives = _mapped(e_theta, first_family, dtype)
        return ToDiagnose(
            context.energy,
            critic.energy,
            context.mixture(),
            z,
            negatives,
            self.objective.bound,
            density=False,
        )

    def family_weights(self, families: Mapping[str, Features]) -> dict[str, float]:
        """Returns the weight of each family, {name: weight}."""
        return {
            name: self.two_families_weight if name == TWO_FAMILIES else 1.0 for name in families
        }

    def _row_weights(self, families: Mapping[str, Features]) -> Tensor:
        """Returns the weight of each row of the families, one after the other, (rows,)."""
        weights = self.family_weights(families)
        return torch.cat(
            [
                torch.full((len(family),), weights[name] / len(family))
                for name, family in families.items()
            ]
        )


@dataclass(frozen=True)
class FromPerturbed(FromPseudoOOD):
    """The learner of a critic where no image is at hand: its families are made of ID features.

    They are those of `negatives.perturbed`: midpoints of two rows, rows crossed with another, and
    columns shuffled among the rows. E_theta sees z alone.

    >>> shape = Shape(dim=3, classes=2, rows=90, head=0, views={"std": 3})
    >>> FromPerturbed().input_views(shape)
    ('z',)
    """

    def input_views(self, shape: Shape) -> tuple[str, ...]:
        return ("z",)

    def fit(self, e_theta: Energy, context: FitContext, seed: int, on_record: OnRecord) -> None:
        super().fit(e_theta, _with_perturbed(context, seed), seed, on_record)

    def to_diagnose(self, e_theta: Energy, context: FitContext, seed: int) -> ToDiagnose:
        return super().to_diagnose(e_theta, _with_perturbed(context, seed), seed)


def _with_perturbed(context: FitContext, seed: int) -> FitContext:
    """Returns a context whose families are made of its own training and held-out features."""
    held_out = context.extra.val
    pseudo = _perturbed_families(context.train, seed)
    pseudoval = {} if held_out is None else _perturbed_families(held_out, seed + 1)
    return replace(context, extra=ExtraID(held_out, pseudo, pseudoval))


def _perturbed_families(features: Features, seed: int) -> dict[str, Features]:
    """Returns what `negatives.perturbed` makes of some rows, {kind: z alone}."""
    z = sample(features, PERTURBED_ROWS, seed).z
    kinds = perturbed(z.to(working_precision(z)), torch.Generator(z.device).manual_seed(seed))
    return {kind: Features(rows) for kind, rows in kinds.items()}


def _mapped(e_theta: Energy, features: Features, dtype: torch.dtype) -> Tensor:
    """Returns what the networks of a critic see of features, (N, columns)."""
    (critic,) = energies_within(e_theta, DirectionAndNorm)
    return critic.map(features.columns(list(critic.views)).to(dtype))
