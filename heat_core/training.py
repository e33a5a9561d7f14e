"""How an energy with no formula learns: one objective, one loop; a record of each stretch goes to a callback."""

from __future__ import annotations

import abc
import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from .energies import Energy, GaussianMixture, Network, unit

Noise = Callable[[int, torch.Generator], Tensor]
"""Draws (count, d) points of the noise density."""


@dataclass(frozen=True)
class Record:
    """One line of a training's history.

    Args:
        step, steps: done, in all.
        loss: mean over the stretch since the last record, in nats (2 log 2 where data and noise look the same).
        held_out: the loss on data held out of training, with the averaged weights.
        inside, outside: mean E_theta of the held-out data and of noise.
        seconds: since the training began.
    """

    step: int
    steps: int
    loss: float
    held_out: float
    inside: float
    outside: float
    seconds: float


OnRecord = Callable[[Record, Energy], None]


def ignore(record: Record, energy: Energy) -> None:
    """The callback that does nothing."""


class Diverged(ArithmeticError):
    """The loss is no longer a number."""


@dataclass(frozen=True)
class Contrast(abc.ABC):
    """An energy learns to tell data from noise, without a sampling chain; what it learns lies in the loss.

    AdamW with a cosine schedule and a moving average of the weights; what is kept is the average that did best on data
    held out of training. No OOD data is seen.

    Args:
        steps: optimiser steps.
        batch: rows of data, and as many of noise, a step.
        rate, weight_decay: of AdamW.
        averaging: the longest memory of the moving average is 1 / (1 - averaging) steps.
        held_out: the share of the data that only judges.
        records: how often the average is judged and `on_record` called.
    """

    steps: int = 1000
    batch: int = 512
    rate: float = 1e-3
    weight_decay: float = 1e-4
    averaging: float = 0.99
    held_out: float = 0.1
    records: int = 25

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "records"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if not 0 < self.held_out < 1:
            raise ValueError(f"held_out must lie between 0 and 1, got {self.held_out}.")

    @abc.abstractmethod
    def loss(self, inside: Tensor, outside: Tensor) -> Tensor:
        """Returns the loss of energies of data and of noise."""

    def fit(
        self, network: Network, z: Tensor, noise: Noise, seed: int, energy: Energy, on_record: OnRecord = ignore,
        judges: tuple[Tensor, Tensor] | None = None,
    ) -> None:  # fmt: skip
        """Trains `network`, a part of `energy`, in place. While it trains it holds the averaged weights.

        Args:
            z: (N, d) data, on the network's device; at least 2 rows.
            noise: draws from n.
            energy: what the callback is shown.
            judges: data and noise held out of training; a share of z and fresh noise if not given.

        Raises:
            Diverged: the loss is not finite; the network keeps the best weights so far.
        """
        generator = torch.Generator(z.device).manual_seed(seed)
        judge = _Judge(self, z, noise, generator, judges)
        student = copy.deepcopy(network.randomise(generator))
        weights, averages = list(student.parameters()), list(network.parameters())
        optimizer = torch.optim.AdamW(weights, lr=self.rate, weight_decay=self.weight_decay)
        total, last, began = torch.zeros((), device=z.device), 0, time.perf_counter()
        stops = {round(self.steps * (i + 1) / self.records) for i in range(self.records)}
        for step in range(1, self.steps + 1):
            optimizer.param_groups[0]["lr"] = self.rate * 0.5 * (1 + math.cos(math.pi * (step - 1) / self.steps))
            loss = self._step(student, optimizer, judge.train, noise, generator)
            total += loss
            memory = min(self.averaging, step / (step + 10))
            with torch.no_grad():
                torch._foreach_lerp_(averages, weights, 1 - memory)  # type: ignore
            if step in stops:
                held_out, inside, outside = judge(network)
                mean = float(total) / (step - last)
                if not math.isfinite(mean + held_out):
                    judge.restore(network)
                    raise Diverged(f"training diverged by step {step}: the loss is {mean}. Try a rate below {self.rate}.")
                seconds = time.perf_counter() - began
                on_record(Record(step, self.steps, mean, held_out, inside, outside, seconds), energy)
                total.zero_()
                last = step
        judge.restore(network)

    def _step(
        self, student: Network, optimizer: torch.optim.Optimizer, z: Tensor, noise: Noise, generator: torch.Generator
    ) -> Tensor:
        rows = torch.randint(len(z), (self.batch,), device=z.device, generator=generator)
        inside, outside = student(torch.cat([z[rows], noise(self.batch, generator)])).split(self.batch)
        loss = self.loss(inside, outside)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.detach()


@dataclass(frozen=True)
class NoiseContrastive(Contrast):
    """Logistic noise-contrastive estimation: tell data of density p from noise of density n, in equal shares.

    loss = mean softplus(E_theta(data)) + mean softplus(-E_theta(noise)), smallest at E_theta = log n - log p.
    Hence -log n + E_theta = -log p, normalised: with noise drawn from a prior, prior energy + E_theta is the data's;
    with uniform noise, E_theta alone is. Reference: Gutmann and Hyvarinen 2012; the correction form, Lafon et al. 2022.
    """

    def loss(self, inside: Tensor, outside: Tensor) -> Tensor:
        return softplus(inside).mean() + softplus(-outside).mean()


@dataclass(frozen=True)
class LeastSquares(Contrast):
    """A regularised critic: mean E(data) - mean E(noise) + alpha (mean E(data)^2 + mean E(noise)^2).

    It is smallest at E_theta = (n - p) / (2 alpha (n + p)), which lies within 1 / (2 alpha) of 0: a bounded verdict of data
    against noise, not the log of a density ratio.

    Args:
        alpha: how much large energies cost; it sets the scale of E_theta and nothing else at the optimum.
    """

    alpha: float = 1.0

    def loss(self, inside: Tensor, outside: Tensor) -> Tensor:
        return inside.mean() - outside.mean() + self.alpha * (inside.square().mean() + outside.square().mean())


class _Judge:
    """Holds data out, tells how good a network is on it, and keeps the best one's weights."""

    def __init__(
        self, objective: Contrast, z: Tensor, noise: Noise, generator: torch.Generator, given: tuple[Tensor, Tensor] | None
    ) -> None:
        self.objective = objective
        if given is not None:
            self.train, (self.inside, self.outside) = z, given
        else:
            order = torch.randperm(len(z), device=z.device, generator=generator)
            count = max(1, round(objective.held_out * len(z)))
            self.train, self.inside = z[order[count:]], z[order[:count]]
            self.outside = noise(max(count, 1000), generator)
        self.best, self.weights = math.inf, {}

    @torch.no_grad()
    def __call__(self, network: Network) -> tuple[float, float, float]:
        inside, outside = network(self.inside), network(self.outside)
        loss = float(self.objective.loss(inside, outside))
        if loss < self.best:
            self.best, self.weights = loss, {name: value.clone() for name, value in network.state_dict().items()}
        return loss, float(inside.mean()), float(outside.mean())

    def restore(self, network: Network) -> None:
        if self.weights:
            network.load_state_dict(self.weights)


def uniform_cube(z: Tensor, margin: float = 0.4) -> Noise:
    """Returns uniform noise on the cube around the data's bounding box, widened on each side by `margin` of its length.

    A cube, not the box: what is learned means nothing where there is no noise, and a flat box ends close to flat data.
    """
    low, high = z.amin(0), z.amax(0)
    centre, half = (low + high) / 2, (0.5 + margin) * (high - low).amax()
    low, high = centre - half, centre + half

    def draw(count: int, generator: torch.Generator) -> Tensor:
        return low + (high - low) * torch.rand(count, len(low), device=z.device, dtype=z.dtype, generator=generator)

    return draw


def broad(mixture: GaussianMixture, temperature: float, z: Tensor, on_sphere: bool) -> Noise:
    """Returns draws of the mixture with deviations sqrt(temperature) as large, put where the data z lives.

    That is as it falls, or, `on_sphere`, projected to the unit sphere, and to its positive part if no value of z is negative.
    """
    spread, positive = temperature**0.5, bool((z >= 0).all())

    def draw(count: int, generator: torch.Generator) -> Tensor:
        drawn = mixture.sample(count, generator, spread)
        if not on_sphere:
            return drawn
        return unit(drawn.clamp(min=0) if positive else drawn)

    return draw
