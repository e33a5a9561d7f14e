"""The images behind a pack's rows: from its own thumbnails, or from the folders where the user keeps datasets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heat_core.pack import Pack

from . import thumbnails as sheets
from .datasets import Images, find_dataset, read_images

Pixels = NDArray[np.uint8]


class Gallery:
    """Looks images up by set and row, and keeps what it has read.

    Args:
        pack: whose rows they are.
        roots: folders with datasets, for the sets that come without thumbnails.
    """

    def __init__(self, pack: Pack, roots: Sequence[Path] = ()) -> None:
        self.pack, self.roots = pack, roots
        self._features = dict(pack.sets())
        self._tiles: dict[str, Pixels] = {}
        self._images: dict[str, Images] = {}

    def pixels(self, name: str, rows: Sequence[int]) -> Pixels:
        """Returns images of a set, (n, 32, 32, 3) RGB.

        Args:
            name: of the set, such as `test` or `near_cifar100`.
            rows: of the set.

        Raises:
            LookupError: nothing says which images these are, or no folder has them; the message says how to get them.
        """
        if name in self.pack.thumbnails:
            if name not in self._tiles:
                self._tiles[name] = sheets.decode(
                    self.pack.thumbnails[name], len(self._features[name])
                )
            return self._tiles[name][list(rows)]
        features = self._features[name]
        if features.index is None or "/" not in features.source:
            raise LookupError(
                f"{self.pack.set_title(name)} came as features alone, without images."
            )
        index = features.index[list(rows)].numpy()
        return self._read(features.source).pixels[index]

    def has(self, name: str) -> bool:
        """Returns whether the images of a set are at hand."""
        if name in self.pack.thumbnails:  # which need not be decoded to say so
            return True
        try:
            self.pixels(name, [])
        except LookupError:
            return False
        return True

    def identify(self, name: str, row: int) -> str:
        """Returns the global id of a row, `dataset/split/index`, or `set/row` if the pack does not say."""
        features = self._features[name]
        if features.index is None or not features.source:
            return f"{name}/{row}"
        return f"{features.source}/{int(features.index[row])}"

    def _read(self, source: str) -> Images:
        if source not in self._images:
            dataset, _, split = source.rpartition("/")
            try:
                self._images[source] = read_images(dataset, self.roots, split)
            except (FileNotFoundError, ValueError) as error:
                how = (
                    find_dataset(dataset).by_hand
                    or f"python -m heat_core fetch {dataset} --root data"
                )
                raise LookupError(
                    f"{find_dataset(dataset).title} is not at hand. To see it: {how}."
                ) from error
        return self._images[source]
