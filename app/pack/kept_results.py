"""Scores of detectors and layouts on a map, kept with an upload without pickle. No Streamlit."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.kept import KeptUploads
from app.pack.layout import Layout
from app.pack.work import DetectorScores
from heat_core.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

SCORES, LAYOUTS = "scores", "layouts"  # folders of what is kept with an upload
ARRAYS = ("scores", "term_values", "part_values", "pseudo_scores")
"""The fields that hold {set: array}; their keys in the file are `FIELD/SET`."""


class ResultKeeper:
    """Keeps scores and layouts of one upload as soon as they are ready, while the upload is kept.

    The jobs that score it hold it, whatever becomes of the page that started them.

    Args:
        store: where uploads are kept.
    """

    def __init__(self, store: KeptUploads) -> None:
        self._store = store
        self._token = ""
        self._stored: set[tuple[str, str]] = set()
        self._layouts: dict[str, Layout | None] = {}

    def start(self, token: str) -> None:
        """Keeps from now on what is ready, with the upload of a token."""
        self._token = token

    def stop(self) -> None:
        """Keeps nothing more: the upload is not kept any longer."""
        self._token = ""
        self._stored.clear()
        self._layouts.clear()

    def keep(self, preset: str, all_scores: Iterable[DetectorScores]) -> None:
        """Keeps scores of a preset that are not kept yet."""
        token = self._token
        new = {
            scores.detector: scores
            for scores in all_scores
            if (preset, scores.detector) not in self._stored
        }
        if token and new:
            contents = {
                (SCORES, preset, name): encode_scores(scores) for name, scores in new.items()
            }
            self._store.keep_files(token, contents)
            self._stored |= {(preset, name) for name in new}

    def known(self, preset: str) -> dict[str, DetectorScores]:
        """Returns {detector: its scores} of a preset that are kept.

        What another version of this program has kept is left out, since its detectors may differ.
        """
        files = self._store.files(self._token, (SCORES, preset)) if self._token else []
        found = [decode_scores(file) for file in files]
        scores = {own.detector: own for own in found if own is not None}
        self._stored |= {(preset, name) for name in scores}
        return scores

    def keep_layout(self, layout: Layout) -> None:
        """Keeps a layout that is not kept yet."""
        if self._token and self.layout(layout.method) is None:
            self._store.keep_files(self._token, {(LAYOUTS, layout.method): encode_layout(layout)})
            self._layouts[layout.method] = layout

    def layout(self, method: str) -> Layout | None:
        """Returns the layout by a method that is kept; None if none is. Its file is read once."""
        if self._token and method not in self._layouts:
            files = self._store.files(self._token, (LAYOUTS,))
            layouts = [decode_layout(file) for file in files if file.name == method]
            self._layouts[method] = layouts[0] if layouts else None
        return self._layouts.get(method)


# -- files -----------------------------------------------------------------------------------------


def encode_scores(scores: DetectorScores) -> bytes:
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


def encode_layout(layout: Layout) -> bytes:
    """Returns the content of the file of a layout."""
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(values) for name, values in layout.coordinates.items()}
    about = {"method": layout.method, "trust": layout.trust}
    return save(arrays, {"about": json.dumps(about)})


def decode_layout(path: Path) -> Layout | None:
    """Returns the layout in a file; None if there is none, or a damaged one."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "np") as file:
            about = json.loads((file.metadata() or {})["about"])
            coordinates = {key: file.get_tensor(key) for key in file.keys()}
        return Layout(coordinates, str(about["method"]), about["trust"])
    except (SafetensorError, OSError, ValueError, TypeError, KeyError):
        return None


def decode_scores(path: Path) -> DetectorScores | None:
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
    return DetectorScores(
        str(about["detector"]),
        by_field["scores"],
        terms=terms,
        term_values=by_field["term_values"],
        part_values=by_field["part_values"],
        pseudo_scores=by_field["pseudo_scores"],
        chosen=dict(about["chosen"]),
        missing_reason=str(about["missing_reason"]),
        warning=str(about["warning"]),
        left_out=str(about["left_out"]),
    )
