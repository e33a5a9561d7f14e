"""How an energy with no formula learns: objectives, one loop for all of them, and a record of each stretch for a callback."""

from __future__ import annotations

import abc
import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from .energies import Energy, Network, Sum
from .negatives import Noise, Start, Walkers
from .sampling import Langevin


@dataclass(frozen=True)
class Record:
    """One line of a training's history.

    Args:
        step, steps: done, in all.
        loss: mean over the stretch since the last record (2 log 2 nats where a logistic critic takes data for noise).
        held_out: what is judged on data held out of training, with the averaged weights; smaller is better.
        inside, outside: mean E_theta of the held-out data and of noise; their difference is the energy gap.
        seconds: since the training began.
        log_z: log of the mean of exp(-E_theta) over noise: 0 for a self-normalised model.
        effective: the effective share of the noise as weighted draws of the model, in (0, 1]; small: log_z is a guess.
    """

    step: int
    steps: int
    loss: float
    held_out: float
    inside: float
    outside: float
    seconds: float
    log_z: float = math.nan
    effective: float = math.nan


OnRecord = Callable[[Record, Energy], None]


def ignore(record: Record, energy: Energy) -> None:
    """The callback that does nothing."""


class Diverged(ArithmeticError):
    """Training left what numbers can hold, or what an energy can be."""


@dataclass(frozen=True, eq=False)
class Task:
    """What is to be learned from what.

    Args:
        network: E_theta, a part of `energy`; it is trained in place, and holds the averaged weights meanwhile.
        z: (N, d) data as the network sees it, on its device; at least 2 rows.
        noise: draws from n.
        energy: the whole; the callback is shown it.
        prior: what is added to E_theta where the model's own draws are wanted.
        judges: data and noise held out of training; a share of z and fresh noise if not given.
    """

    network: Network
    z: Tensor
    noise: Noise
    energy: Energy
    prior: Energy | None = None
    judges: tuple[Tensor, Tensor] | None = None


@dataclass(frozen=True)
class Objective(abc.ABC):
    """An energy learns to tell data from negatives; what it learns lies in the loss, and in where the negatives come from.

    AdamW, a moving average of the weights, and a choice of which average is kept, by data held out of training. No OOD data
    is seen.

    Args:
        steps: optimiser steps, where `epochs` does not say them.
        epochs: passes over the data; 0 takes `steps`.
        batch: rows of data, and as many negatives, a step.
        rate, weight_decay, betas: of AdamW; without weight decay it is Adam.
        schedule: the rate falls along a cosine to 0, stays constant, or falls to a tenth half-way (`step`).
        averaging: the longest memory of the moving average is 1 / (1 - averaging) steps; 0 keeps the weights themselves.
        jitter: deviation of Gaussian noise that is added to the network's inputs.
        bfloat16: whether the network's products are made in bfloat16, which is several times faster where the chip has it;
            weights, optimiser and everything else stay in float32.
        keep: the `best` average by the held-out data, or the `last`.
        held_out: the share of the data that only judges.
        records: how often the average is judged and `on_record` called.
        limit: training has diverged once the mean |E_theta| of the held-out data or of noise is larger.
    """

    steps: int = 1000
    epochs: int = 0
    batch: int = 512
    rate: float = 1e-3
    weight_decay: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: Literal["cosine", "constant", "step"] = "cosine"
    averaging: float = 0.99
    jitter: float = 0.0
    bfloat16: bool = False
    keep: Literal["best", "last"] = "best"
    held_out: float = 0.1
    records: int = 25
    limit: float = 1e6

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas))  # a file gives a list
        for name in ("steps", "batch", "records"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if not 0 < self.held_out < 1:
            raise ValueError(f"held_out must lie between 0 and 1, got {self.held_out}.")

    @abc.abstractmethod
    def loss(self, inside: Tensor, outside: Tensor) -> Tensor:
        """Returns the loss of energies of data and of negatives."""

    def verdict(self, inside: Tensor, outside: Tensor) -> Tensor:
        """Returns what is judged of energies of held-out data and of noise; the loss, where negatives are noise."""
        return self.loss(inside, outside)

    def negatives(self, task: Task, network: Network) -> Noise:
        """Returns where the negatives of a network under training come from."""
        return task.noise

    def share(self, done: float) -> float:
        """Returns the learning rate as a share of `rate`, once a share of the steps is done."""
        if self.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * done))
        return 0.1 if self.schedule == "step" and done >= 0.5 else 1.0

    def fit(self, task: Task, seed: int, on_record: OnRecord = ignore) -> None:
        """Trains the network of a task in place.

        Raises:
            Diverged: the loss is not finite, or energies explode; the network keeps the best weights so far.
        """
        generator = torch.Generator(task.z.device).manual_seed(seed)
        judge = _Judge(self, task, generator)
        student = copy.deepcopy(task.network.randomise(generator))
        student.bfloat16 = self.bfloat16
        negatives = self.negatives(task, student)
        weights, averages = list(student.parameters()), list(task.network.parameters())
        optimizer = torch.optim.AdamW(weights, lr=self.rate, weight_decay=self.weight_decay, betas=self.betas)
        steps = self.epochs * math.ceil(len(judge.train) / self.batch) or self.steps
        total, last, began = torch.zeros((), device=task.z.device), 0, time.perf_counter()
        stops = {round(steps * (i + 1) / self.records) for i in range(self.records)}
        for step in range(1, steps + 1):
            optimizer.param_groups[0]["lr"] = self.rate * self.share((step - 1) / steps)
            total += self._step(student, optimizer, judge.train, negatives, generator)
            memory = min(self.averaging, step / (step + 10))
            with torch.no_grad():
                torch._foreach_lerp_(averages, weights, 1 - memory)  # type: ignore
            if step in stops:
                seen = judge(task.network, float(total) / (step - last), step)
                on_record(Record(step, steps, *seen[:4], time.perf_counter() - began, *seen[4:]), task.energy)
                total.zero_()
                last = step
        judge.restore(task.network)

    def _step(
        self, student: Network, optimizer: torch.optim.Optimizer, z: Tensor, negatives: Noise, generator: torch.Generator
    ) -> Tensor:
        rows = torch.randint(len(z), (self.batch,), device=z.device, generator=generator)
        seen = torch.cat([z[rows], negatives(self.batch, generator)])
        if self.jitter:
            seen += self.jitter * torch.randn(seen.shape, device=z.device, dtype=z.dtype, generator=generator)
        loss = self.loss(*student(seen).split(self.batch))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.detach()


@dataclass(frozen=True)
class NoiseContrastive(Objective):
    """Logistic noise-contrastive estimation: tell data of density p from noise of density n, in equal shares.

    loss = mean softplus(E_theta(data)) + mean softplus(-E_theta(noise)), smallest at E_theta = log n - log p.
    Hence -log n + E_theta = -log p, normalised: with noise drawn from a prior, prior energy + E_theta is the data's;
    with uniform noise, E_theta alone is. Reference: Gutmann and Hyvarinen 2012; the correction form, Lafon et al. 2022.
    """

    def loss(self, inside: Tensor, outside: Tensor) -> Tensor:
        return softplus(inside).mean() + softplus(-outside).mean()


@dataclass(frozen=True)
class SelfNormalized(Objective):
    """Maximum likelihood with the normaliser from noise: mean E_theta(data) + log mean exp(-E_theta(noise)).

    It is the negative log likelihood of the model n exp(-E_theta) / Z less that of n, with self-normalised importance
    sampling for Z: no chain, and no mode out of the noise's reach. Reference: Bengio and Senecal 2003.
    """

    def loss(self, inside: Tensor, outside: Tensor) -> Tensor:
        return inside.mean() + log_mean_exp(-outside)


@dataclass(frozen=True)
class LeastSquares(Objective):
    """A regularised critic: mean E(data) - mean E(noise) + alpha (mean E(data)^2 + mean E(noise)^2).

    It is smallest at E_theta = (n - p) / (2 alpha (n + p)), which lies within 1 / (2 alpha) of 0: a bounded verdict of data
    against noise, not the log of a density ratio.

    Args:
        alpha: how much large energies cost; it sets the scale of E_theta and nothing else at the optimum.
    """

    alpha: float = 1.0

    @property
    def bound(self) -> float:
        """1 / (2 alpha), which |E_theta| does not exceed at the optimum."""
        return 1 / (2 * self.alpha) if self.alpha else math.inf

    def loss(self, inside: Tensor, outside: Tensor) -> Tensor:
        return inside.mean() - outside.mean() + self.alpha * (inside.square().mean() + outside.square().mean())


@dataclass(frozen=True)
class MaximumLikelihood(LeastSquares):
    """The same loss, with negatives drawn from the model itself by Langevin chains: maximum likelihood, regularised.

    Without alpha its gradient is that of the log likelihood, as far as the chains sample the model. What is judged on
    held-out data is the likelihood by importance sampling from the noise, as in `SelfNormalized`.
    Reference: Lafon et al. 2022, eq. 2 to 4; Nijkamp et al. 2019 for short chains.

    Args:
        sampler: the chains' steps.
        start: where chains begin; see `negatives.Start`.
        both: negatives are the chains' ends and their beginnings, half of each, as in the paper's public code.
    """

    sampler: Langevin = Langevin(steps=20)
    start: Start = "noise"
    both: bool = False

    def verdict(self, inside: Tensor, outside: Tensor) -> Tensor:
        return inside.mean() + log_mean_exp(-outside)

    def negatives(self, task: Task, network: Network) -> Noise:
        total = network if task.prior is None else Sum(task.prior, network)
        return Walkers(self.sampler, self.start, task.noise, network, total, self.both)


def log_mean_exp(values: Tensor) -> Tensor:
    """Returns log mean exp(values), of (N,)."""
    return values.logsumexp(0) - math.log(len(values))


def effective_share(log_weight: Tensor) -> Tensor:
    """Returns (sum w)^2 / (N sum w^2) of weights exp(log_weight), (N,): 1 if they are even, 1 / N if one has it all."""
    return (2 * log_weight.logsumexp(0) - (2 * log_weight).logsumexp(0)).exp() / len(log_weight)


class _Judge:
    """Holds data out, tells how good a network is on it, and keeps the best one's weights."""

    def __init__(self, objective: Objective, task: Task, generator: torch.Generator) -> None:
        self.objective = objective
        if task.judges is not None:
            self.train, (self.inside, self.outside) = task.z, task.judges
        else:
            order = torch.randperm(len(task.z), device=task.z.device, generator=generator)
            count = max(1, round(objective.held_out * len(task.z)))
            self.train, self.inside = task.z[order[count:]], task.z[order[:count]]
            self.outside = task.noise(max(count, 1000), generator)
        self.best, self.weights = math.inf, {}

    @torch.no_grad()
    def __call__(self, network: Network, loss: float, step: int) -> tuple[float, ...]:
        """Returns the loss, the held-out verdict, mean energies of data and noise, log Z and the effective share.

        Raises Diverged, with the best weights back in the network.
        """
        inside, outside = network(self.inside), network(self.outside)
        verdict, low, high = float(self.objective.verdict(inside, outside)), float(inside.mean()), float(outside.mean())
        if not math.isfinite(loss + verdict):
            self.restore(network)
            raise Diverged(f"training diverged by step {step}: the loss is {loss}. Try a rate below {self.objective.rate}.")
        if max(abs(low), abs(high)) > self.objective.limit:
            self.restore(network)
            raise Diverged(f"energies exploded by step {step}: they are {low:.3g} for data and {high:.3g} for noise. "
                           f"Try a rate below {self.objective.rate}, or more regularisation.")  # fmt: skip
        if self.objective.keep == "last" or verdict < self.best:
            self.best, self.weights = verdict, {name: value.clone() for name, value in network.state_dict().items()}
        return loss, verdict, low, high, float(log_mean_exp(-outside)), float(effective_share(-outside))

    def restore(self, network: Network) -> None:
        if self.weights:
            network.load_state_dict(self.weights)
