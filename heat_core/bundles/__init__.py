"""Bundles: a fitted detector and its decision, to be shipped, checked, and scored with.

A bundle is a folder: a run (`run.json`, `energy.safetensors`), the scores that the threshold was
chosen on (`calibration.safetensors`, with the classifier's head where there is one) and
`decision.json`.
"""

from __future__ import annotations

from .bundle import Bundle, bundle_of
from .checking import check_bundle
from .decisions import Decisions
from .files import bundle_files, load, load_bundle, save, save_bundle

__all__ = [
    "Bundle",
    "Decisions",
    "bundle_files",
    "bundle_of",
    "check_bundle",
    "load",
    "load_bundle",
    "save",
    "save_bundle",
]
