"""Bundles for where neither torch nor heat_core is: a NumPy scorer, an ONNX graph."""

from __future__ import annotations

from .folder import export_numpy
from .graph import ImageReader
from .onnx import export_onnx

__all__ = ["ImageReader", "export_numpy", "export_onnx"]
