"""Labels that are words: numbered, with their names kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from .npz import listed

LABEL_KEYS = ("train_y", "val_y", "test_y")
CLASSES_KEY = "classes"  # the names of the classes by their number, in the order of the head


def numbered_labels(
    arrays: Mapping[str, np.ndarray],
) -> tuple[dict[str, np.ndarray], list[str] | None]:
    """Returns the arrays of a pack with labels that are whole numbers, and the names of classes.

    Words become their position among the names: among `classes` (C,), or else among the distinct
    words of `train_y`, sorted. The names are None where labels are numbers without `classes`.

    Args:
        arrays: as `pack_from_arrays` takes them.

    Raises:
        ValueError: words and numbers are mixed, a word is no class, or there is a head and no
            `classes` to say which of its rows is which word.

    >>> labels = {"train_y": np.array(["ship", "cat", "ship"]), "test_y": np.array(["cat"])}
    >>> numbered, names = numbered_labels(labels)
    >>> numbered["train_y"], numbered["test_y"], names
    (array([1, 0, 1]), array([0]), ['cat', 'ship'])
    """
    others = {key: array for key, array in arrays.items() if key != CLASSES_KEY}
    names = _class_names(arrays[CLASSES_KEY]) if CLASSES_KEY in arrays else None
    labels = {key: arrays[key] for key in LABEL_KEYS if key in arrays}
    words = [key for key, array in labels.items() if _holds_words(array)]
    if not words:
        return others, names
    numbers = [key for key in labels if key not in words]
    if numbers:
        raise ValueError(f"{words[0]} holds words and {numbers[0]} numbers; wanted one kind.")
    if names is None:
        if "weight" in arrays:
            raise ValueError(
                "the labels are words, so that `classes` must name the rows of weight in order: "
                "an array of texts, (C,)."
            )
        source = labels.get("train_y", labels[words[0]])
        names = sorted({str(word) for word in source.ravel()})
    places = {name: place for place, name in enumerate(names)}
    return {**others, **{key: _numbered(key, labels[key], places) for key in words}}, names


def _holds_words(array: np.ndarray) -> bool:
    """Returns whether labels (N,) are texts; objects are where one of them is."""
    if array.dtype.kind == "O":
        return any(isinstance(value, str) for value in array.ravel())
    return array.dtype.kind in "US"


def _class_names(array: np.ndarray) -> list[str]:
    if array.ndim != 1 or not _holds_words(array):
        raise ValueError(
            f"classes must be texts of shape (C,), got {array.dtype} of shape {array.shape}."
        )
    names = array.astype(str).tolist()
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise ValueError(f"classes must name each class once, got {repeated[0][:60]} twice.")
    return names


def _numbered(key: str, array: np.ndarray, places: Mapping[str, int]) -> np.ndarray:
    """Returns the numbers of labels that are words, of the same shape (N,)."""
    words = array.astype(str)
    unknown = sorted(set(words.ravel()) - set(places))
    if unknown:
        known = listed(places, most=5)
        raise ValueError(f"{key} has the label {unknown[0][:60]!r}; the classes are {known}.")
    numbers = [places[word] for word in words.ravel()]
    return np.array(numbers, np.int64).reshape(array.shape)
