"""A first step of training in the background, before somebody waits for one. No Streamlit here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace


def warm_up() -> None:
    """Trains HEAT for one step, so that what torch loads at its first step is there."""
    from heat_core.detectors.heat import HEAT
    from heat_core.detectors.presets import preset_detector
    from heat_core.plane.toys import toy
    from heat_core.run import fit

    detector = preset_detector("HEAT", "quick", "plane")
    assert isinstance(detector, HEAT)
    training = replace(detector.correction.training, steps=1, log_points=1)
    correction = replace(detector.correction, training=training)
    fit(replace(detector, correction=correction), toy("blobs").features(64))


def before_each_forward(act: Callable[[], None]) -> None:
    """Has something done before each forward pass of any network or energy, in its own thread."""
    from torch.nn.modules.module import register_module_forward_pre_hook

    register_module_forward_pre_hook(lambda module, inputs: act())
