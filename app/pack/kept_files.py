"""A detector's scores, or a layout on a map, as a file without pickle. No Streamlit."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.pack.layout import Layout
from app.pack.work import DetectorScores
from heat_core.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

ARRAYS = ("scores", "term_values", "part_values", "pseudo_scores")
"""The fields that hold {set: array}; their keys in the file are `FIELD/SET`."""


def pack_scores(scores: DetectorScores) -> bytes:
    """Returns the content of the file of a detector's scores; its fitted run is not in it."""
    from safetensors.numpy import save

    arrays = {
        f"{field}/{name}": np.ascontiguousarray(values)
        for field in ARRAYS
        for name, values in getattr(scores, field).items()
    }
    about = {
        "detector": scores.detector,
        "missing_reason": scores.missing_reason,
        "warning": scores.warning,
        "left_out": scores.left_out,
        "chosen": dict(scores.chosen),
        "terms": None if scores.terms is None else asdict(scores.terms),
    }
    return save(arrays, {"program": __version__, "about": json.dumps(about)})


def pack_layout(layout: Layout) -> bytes:
    """Returns the content of the file of a layout."""
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(values) for name, values in layout.coordinates.items()}
    about = {"method": layout.method, "trust": layout.trust}
    return save(arrays, {"about": json.dumps(about)})


def unpack_layout(path: Path) -> Layout | None:
    """Returns the layout in a file; None if there is none, or a damaged one."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "np") as file:
            about = json.loads((file.metadata() or {})["about"])
            coordinates = {key: file.get_tensor(key) for key in file.keys()}
        return Layout(coordinates, str(about["method"]), about["trust"])
    except (SafetensorError, OSError, ValueError, TypeError, KeyError):
        return None


def unpack_scores(path: Path) -> DetectorScores | None:
    """Returns the scores in a file; None of a damaged one, or of another version of the program."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "np") as file:
            metadata: dict[str, str] = file.metadata() or {}
            arrays = {key: file.get_tensor(key) for key in file.keys()}
        if metadata.get("program") != __version__:
            return None
        return _scores_of(json.loads(metadata["about"]), arrays)
    except (SafetensorError, OSError, ValueError, TypeError, KeyError):
        return None


def _scores_of(about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> DetectorScores:
    from heat_core.explain import ScoreTerms

    by_field: dict[str, dict[str, NDArray[Any]]] = {field: {} for field in ARRAYS}
    for key, values in arrays.items():
        field, _, name = key.partition("/")
        by_field[field][name] = values
    terms = about["terms"]
    if terms is not None:
        tuples = {key: tuple(terms[key]) for key in ("names", "prior_parts")}
        terms = ScoreTerms(**{**terms, **tuples})
    texts = {key: str(about[key]) for key in ("missing_reason", "warning", "left_out")}
    return DetectorScores(
        str(about["detector"]),
        by_field["scores"],
        terms=terms,
        term_values=by_field["term_values"],
        part_values=by_field["part_values"],
        pseudo_scores=by_field["pseudo_scores"],
        chosen=dict(about["chosen"]),
        **texts,
    )
