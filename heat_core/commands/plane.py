"""Training in the plane, where the truth is known."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from .command import Command
from .options import AddOption, add_device, add_json, add_preset, add_seed
from .progress import progress_line

if TYPE_CHECKING:
    from heat_core.plane.grid import Distance


IN_ANSWERS = {"mass_beyond_grid": "missed", "modes_kept": "modes"}
"""{field of a distance: its key in JSON}, where version 0.1 had another word; both are there."""


def _toy_options(add: AddOption) -> None:
    add("name", metavar="NAME")
    add("detector", metavar="DETECTOR")
    add_preset(add)
    add_seed(add)
    add_device(add)
    quality = "short for the presets that train less, or more"
    add("--quality", dest="preset", choices=("quick", "best"), help=quality)
    add_json(add)


def toy(options: argparse.Namespace) -> None:
    """Trains a detector on a toy, and prints its distance from the truth."""
    from heat_core.detectors.presets import preset_detector
    from heat_core.plane.grid import Grid
    from heat_core.plane.toys import toy
    from heat_core.run import fit

    the_toy = toy(options.name)
    detector = preset_detector(options.detector, options.preset, "plane")
    train = the_toy.features(seed=options.seed)
    grid = Grid(the_toy)
    start = time.perf_counter()
    with progress_line(options.detector):
        run = fit(detector, train, options.seed, options.device)
        seconds = time.perf_counter() - start
        distance = grid.distance(grid.evaluate(run.energy))
    mog = fit(preset_detector("MoG", domain="plane"), train)
    kl_mog = grid.distance(grid.evaluate(mog.energy)).kl
    if options.json:
        answer = {
            "toy": options.name,
            "detector": options.detector,
            "preset": options.preset,
            "seed": options.seed,
            **_distance_fields(distance),
            "seconds": seconds,
            "kl_mog": kl_mog,
            "modes_kept": distance.modes_kept,
            "mass_beyond_grid": distance.mass_beyond_grid,
        }
        print(json.dumps(answer))
        return
    settings = f"{options.preset}, seed {options.seed}"
    print(f"{the_toy.title}, {options.detector} ({settings}), {seconds:.1f} s")
    print(_distance_text(distance, kl_mog))


def _distance_fields(distance: Distance) -> dict[str, float]:
    """Returns a distance by the keys of version 0.1."""
    return {IN_ANSWERS.get(name, name): value for name, value in asdict(distance).items()}


def _distance_text(distance: Distance, kl_mog: float) -> str:
    """Returns one line on how far a model is from the truth."""
    return (
        f"KL(true || model) {distance.kl:.4f} nats (MoG {kl_mog:.4f}), "
        f"total variation {distance.tv:.4f}, JSD {distance.jsd:.4f} nats, "
        f"modes {distance.modes_kept} of {distance.modes_total}, "
        f"mass beyond the grid {distance.mass_beyond_grid:.1e}"
    )


TOY = Command(
    name="toy",
    run=toy,
    add_options=_toy_options,
    summary="Train a detector on a 2D toy and hold it against the truth.",
    example="crosses9 HEAT --seed 1",
)
