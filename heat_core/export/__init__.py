"""Bundles for where neither torch nor heat_core is: a NumPy scorer."""

from __future__ import annotations

from .folder import export_numpy, scorer_files

__all__ = ["export_numpy", "scorer_files"]
