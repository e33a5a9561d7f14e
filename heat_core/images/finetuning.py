"""Fine-tuning of a classifier against auxiliary images, by an objective that sees both.

The same loop as a classifier's training: progress, checkpoints, and a training that goes on after
a kill and ends as it would have without it.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from heat_core.arguments import check_seed
from heat_core.training.classifier_objectives import (
    ClassifierObjective,
    EnergyBounded,
    default_margins,
    free_energy,
)

from .classifier import Architecture, fingerprint, pixels_tensor
from .classifier_training import augment
from .datasets import Images
from .training_loop import OnProgress, TrainingLoop, check_images, shuffled_rows

SAMPLE = 2000  # images of each set whose mean energy stands for all


@dataclass(frozen=True)
class FinetuneConfig:
    """How a classifier is fine-tuned: SGD with Nesterov momentum, its rate falling as a cosine.

    The defaults are those of Liu et al. 2020, arXiv:2010.03759, and their code.

    Args:
        epochs: passes over the ID images.
        batch: ID images a step.
        auxiliary_batch: auxiliary images a step.
        lr: the learning rate at the start.
        final_factor: the rate at the end, relative to that at the start.
        momentum, weight_decay: of SGD.
        crop_padding: pixels of reflection padding that crops move in.
        checkpoint_steps: steps between checkpoints.

    >>> config = FinetuneConfig()
    >>> [round(config.lr_factor(progress), 3) for progress in (0, 0.5, 1)]
    [1.0, 0.5, 0.001]
    """

    epochs: int = 10
    batch: int = 128
    auxiliary_batch: int = 256
    lr: float = 1e-3
    final_factor: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 5e-4
    crop_padding: int = 4
    checkpoint_steps: int = 100

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "auxiliary_batch", "checkpoint_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if not 0 < self.lr < math.inf:
            raise ValueError(f"lr must be a number above 0, got {self.lr:g}.")

    def lr_factor(self, progress: float) -> float:
        """Returns the learning rate at a share of the training in [0, 1], relative to the start."""
        cosine = (1 + math.cos(math.pi * progress)) / 2
        return self.final_factor + (1 - self.final_factor) * cosine


def finetune(
    network: nn.Module,
    architecture: Architecture,
    images: Images,
    auxiliary: Images,
    held_out: Images,
    objective: ClassifierObjective,
    checkpoint: Path,
    config: FinetuneConfig | None = None,
    seed: int = 0,
    device: str = "cpu",
    on_progress: OnProgress = lambda progress: None,
) -> nn.Module:
    """Trains a network on ID images against auxiliary ones, in place, and returns it to evaluate.

    Args:
        network: with the weights to begin with.
        images: ID training images.
        auxiliary: images without labels.
        held_out: ID images, only reported on, never learned from.
        objective: of the logits of both.
        checkpoint: as of `classifier_training.train`.

    Raises:
        ValueError: there are fewer ID images than a batch, no auxiliary or none held out, or the
            checkpoint is damaged or of another training.
    """
    config = config or FinetuneConfig()
    seed = check_seed(seed)
    check_images("fine-tuning", images, config.batch, held_out)
    if not len(auxiliary):
        raise ValueError("fine-tuning needs auxiliary images, got none.")
    loop = _Finetuning(network, architecture, images, auxiliary, objective, config, seed, device)
    return loop.run(held_out, checkpoint, on_progress)


class _Finetuning(TrainingLoop):
    """The steps of a fine-tuning: ID and auxiliary images pass the network together."""

    def __init__(
        self,
        network: nn.Module,
        architecture: Architecture,
        images: Images,
        auxiliary: Images,
        objective: ClassifierObjective,
        config: FinetuneConfig,
        seed: int,
        device: str,
    ) -> None:
        self.objective, self.config, self.seed = objective, config, seed
        self.pixels = pixels_tensor(images).to(device)
        self.labels = torch.from_numpy(images.labels).to(device)
        self.auxiliary_pixels = pixels_tensor(auxiliary).to(device)
        self.auxiliary_batch = min(config.auxiliary_batch, len(auxiliary))
        name = _name_of(network, images, auxiliary, objective, config, seed)
        network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = torch.optim.SGD(
            network.parameters(),
            config.lr,
            config.momentum,
            weight_decay=config.weight_decay,
            nesterov=True,
        )
        epoch_steps = len(images) // config.batch
        super().__init__(
            architecture,
            network,
            [optimizer],
            name,
            steps=config.epochs * epoch_steps,
            epoch_steps=epoch_steps,
            checkpoint_steps=config.checkpoint_steps,
        )

    def lr_factor(self, progress: float) -> float:
        return self.config.lr_factor(progress)

    def loss(self, step: int) -> Tensor:
        rows = shuffled_rows(len(self.pixels), self.config.batch, step, self.seed)
        auxiliary_rows = shuffled_rows(
            len(self.auxiliary_pixels), self.auxiliary_batch, step, self.seed
        )
        rows, auxiliary_rows = rows.to(self.device), auxiliary_rows.to(self.device)
        pixels = torch.cat([self.pixels[rows], self.auxiliary_pixels[auxiliary_rows]])
        logits = self.logits(self.architecture.normalise(self._augment(pixels, step)))
        id_logits, auxiliary_logits = logits.split([len(rows), len(auxiliary_rows)])
        return self.objective.loss(id_logits, self.labels[rows], auxiliary_logits)

    def _augment(self, pixels: Tensor, step: int) -> Tensor:
        """Returns images (B, 3, H, W), cropped and mirrored at random."""
        generator = torch.Generator(self.device).manual_seed(self.seed * 100_003 + step)
        flip = torch.rand(len(pixels), device=self.device, generator=generator) < 0.5
        return augment(pixels, flip, self.config.crop_padding, generator)


def _name_of(
    network: nn.Module,
    images: Images,
    auxiliary: Images,
    objective: ClassifierObjective,
    config: FinetuneConfig,
    seed: int,
) -> str:
    """Returns what a checkpoint says it is of, as JSON."""
    sets = [[each.name, each.split, len(each)] for each in (images, auxiliary)]
    described = {
        "fine-tuned from": fingerprint(network),
        "objective": type(objective).__name__,
        **asdict(objective),
        **asdict(config),
        "seed": seed,
        "images": sets,
    }
    return json.dumps(described)


# -- margins ---------------------------------------------------------------------------------------


@torch.inference_mode()
def sample_logits(
    network: nn.Module, architecture: Architecture, images: Images, device: str = "cpu"
) -> Tensor:
    """Returns the logits (n, C) of at most `SAMPLE` images, on the CPU; the same ones each time."""
    network.to(device).eval()
    rows = np.random.default_rng(0).permutation(len(images))[:SAMPLE]
    pixels = pixels_tensor(images)[torch.from_numpy(rows)]
    logits = [network(architecture.normalise(part.to(device))) for part in pixels.split(500)]
    return torch.cat(logits).float().cpu()


def energy_bounded(
    id_logits: Tensor,
    auxiliary_logits: Tensor,
    id_margin: float | None = None,
    auxiliary_margin: float | None = None,
    weight: float = EnergyBounded.weight,
) -> EnergyBounded:
    """Returns the objective; a margin that is not given is that of `default_margins`, to .01.

    Args:
        id_logits, auxiliary_logits: (N, C) each, of the network before it is fine-tuned.

    Raises ValueError if the margins are in the wrong order.

    >>> energy_bounded(torch.full((1, 1), 3.0), torch.full((1, 1), 1.0), id_margin=-3.5)
    EnergyBounded(weight=0.1, id_margin=-3.5, auxiliary_margin=-1.0)
    """
    default = default_margins(free_energy(id_logits), free_energy(auxiliary_logits))
    return EnergyBounded(
        weight,
        round(default[0], 2) if id_margin is None else id_margin,
        round(default[1], 2) if auxiliary_margin is None else auxiliary_margin,
    )
