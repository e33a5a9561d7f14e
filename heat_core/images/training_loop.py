"""The loop of a network's training: steps, reports, and checkpoints that survive a kill."""

from __future__ import annotations

import abc
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from heat_core.files import read_tensors, write_whole

from .classifier import Architecture, evaluate
from .datasets import Images


class Progress(NamedTuple):
    """How far a training is, at a checkpoint.

    Args:
        step: steps done, of `steps` in all.
        steps_taken: steps in `seconds`, since the training began or went on.
        epoch: the present one, from 1.
        loss: the mean since the last checkpoint.
        accuracy: on the held-out images, at the end of an epoch.
    """

    step: int
    steps: int
    steps_taken: int
    epoch: int
    loss: float
    accuracy: float | None
    seconds: float


OnProgress = Callable[[Progress], None]


class TrainingLoop(abc.ABC):
    """A network, its optimisers and its steps; a step depends on them and its number alone.

    So a training that goes on from a checkpoint ends as it would have without the break.

    Args:
        architecture: of the network.
        network: on its device.
        optimizers: with momentum; the learning rate of each is its peak.
        name: says what is trained on what; a checkpoint of another name is refused.
        steps: in all.
        epoch_steps: steps an epoch.
        checkpoint_steps: steps between checkpoints; there is one after each epoch, too.
    """

    def __init__(
        self,
        architecture: Architecture,
        network: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        name: str,
        *,
        steps: int,
        epoch_steps: int,
        checkpoint_steps: int,
    ) -> None:
        self.architecture, self.network, self.optimizers = architecture, network, optimizers
        self.name, self.steps = name, steps
        self.epoch_steps, self.checkpoint_steps = epoch_steps, checkpoint_steps
        self.device = next(network.parameters()).device
        self.compiled = network if self.device.type == "cpu" else torch.compile(network)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["peak"] = group["lr"]

    @abc.abstractmethod
    def loss(self, step: int) -> Tensor:
        """Returns the loss of a step, a scalar."""

    @abc.abstractmethod
    def lr_factor(self, progress: float) -> float:
        """Returns the learning rate at a share of the training in [0, 1], relative to the peak."""

    def logits(self, inputs: Tensor) -> Tensor:
        """Returns the logits (N, C) float32 of inputs (N, 3, H, W), in mixed precision."""
        device = self.device
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=_has_bfloat16(device)):
            logits = self.compiled(inputs)
        return logits.float()

    def step(self, step: int) -> Tensor:
        """Takes one step and returns its loss, a scalar."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * self.lr_factor((step + 1) / self.steps)
        self.network.train()
        loss = self.loss(step)
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss.detach()

    def run(
        self,
        held_out: Images,
        checkpoint: Path,
        on_progress: OnProgress = lambda progress: None,
    ) -> nn.Module:
        """Takes all steps, from the checkpoint if there is one; returns the network to evaluate.

        Args:
            held_out: images that accuracies are reported on.
            checkpoint: rewritten whole, before each report.

        Raises ValueError if the checkpoint is damaged or of another training, or the loss is no
        finite number any more.
        """
        first = self.load_checkpoint(checkpoint) if checkpoint.exists() else 0
        start = time.perf_counter()
        reported = first
        loss_sum: Tensor | float = 0.0
        for index in range(first, self.steps):
            loss_sum = loss_sum + self.step(index)
            step = index + 1
            ends_epoch = step % self.epoch_steps == 0
            if step % self.checkpoint_steps and not ends_epoch and step < self.steps:
                continue
            loss = float(loss_sum) / (step - reported)
            if not math.isfinite(loss):
                raise ValueError(
                    f"the loss is no finite number by step {step}; take a smaller learning rate."
                )
            self.save_checkpoint(checkpoint, step)
            accuracy = self._accuracy(held_out) if ends_epoch else None
            progress = Progress(
                step=step,
                steps=self.steps,
                steps_taken=step - first,
                epoch=index // self.epoch_steps + 1,
                loss=loss,
                accuracy=accuracy,
                seconds=time.perf_counter() - start,
            )
            on_progress(progress)
            reported = step
            loss_sum = 0.0
        return self.network.eval()

    def _accuracy(self, held_out: Images) -> float:
        return evaluate(self.network, self.architecture, held_out, str(self.device))

    def save_checkpoint(self, path: Path, step: int) -> None:
        """Writes a checkpoint, whole or not at all."""
        from safetensors.torch import save

        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        for name, state in self._optimizer_states().items():
            tensors[f"momentum.{name}"] = state["momentum_buffer"]
        tensors = {name: value.contiguous() for name, value in tensors.items()}
        write_whole(path, save(tensors, {"step": str(step), "training": self.name}))

    def load_checkpoint(self, path: Path) -> int:
        """Takes up a checkpoint and returns the next step.

        Raises ValueError if it is damaged or of another training.
        """
        try:
            tensors, metadata = read_tensors(path)
        except ValueError as error:
            raise ValueError(
                f"{path} is a damaged checkpoint ({error}); delete it to begin again."
            ) from None
        if metadata.get("training") != self.name:
            raise ValueError(
                f"{path} is the checkpoint of a training with other settings; wanted {self.name}."
            )
        names = self.network.state_dict()
        self.network.load_state_dict({name: tensors[f"network.{name}"] for name in names})
        for name, state in self._optimizer_states().items():
            momentum = tensors[f"momentum.{name}"].to(self.device)
            state["momentum_buffer"] = momentum.to(memory_format=torch.preserve_format)
        return int(metadata["step"])

    def _optimizer_states(self) -> dict[str, dict[str, Any]]:
        """Returns {parameter: what its optimiser remembers of it}."""
        states: dict[nn.Parameter, dict[str, Any]] = {}
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                states |= {parameter: optimizer.state[parameter] for parameter in group["params"]}
        named = self.network.named_parameters()
        return {name: states[parameter] for name, parameter in named if parameter in states}


def check_images(doing: str, images: Images, batch: int, held_out: Images) -> None:
    """Raises ValueError unless there is a batch of images, and one is held out to report on."""
    if len(images) < batch:
        raise ValueError(f"{doing} needs at least one batch of {batch} images, got {len(images)}.")
    if not len(held_out):
        raise ValueError(f"{doing} needs held-out images to report on, got none.")


def shuffled_rows(count: int, batch: int, step: int, seed: int) -> Tensor:
    """Returns the rows (batch,) of a step: every epoch is a shuffle of its own.

    What is left of `count` at an epoch's end, fewer than a batch, is not used in it.

    >>> shuffled_rows(count=5, batch=2, step=0, seed=0), shuffled_rows(5, 2, 1, seed=0)
    (tensor([4, 0]), tensor([1, 3]))
    """
    epoch, position = divmod(step, count // batch)
    shuffle = torch.Generator().manual_seed(seed * 100_003 + epoch)
    return torch.randperm(count, generator=shuffle)[position * batch :][:batch]


def _has_bfloat16(device: torch.device) -> bool:
    """Returns whether the device multiplies bfloat16 itself; emulated, it is far slower."""
    if device.type != "cpu":
        return True
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
