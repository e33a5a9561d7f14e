"""Bundles for where neither torch nor heat_core is: a NumPy scorer, an ONNX graph."""

from __future__ import annotations

from .folder import export_numpy, scorer_files
from .graph import ImageReader
from .onnx import export_onnx

__all__ = ["ImageReader", "export_numpy", "export_onnx", "scorer_files"]
