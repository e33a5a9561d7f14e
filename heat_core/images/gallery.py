"""The images behind a pack's rows: from its thumbnails, or from the folders with datasets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heat_core.pack import Pack
from heat_core.set_name import SetName

from .datasets import Images, find_dataset, read_images
from .thumbnails import decode_sheet

Pixels = NDArray[np.uint8]


class Gallery:
    """The images of a pack, by set and row; what was read once is kept.

    Args:
        pack: whose rows they are.
        roots: folders with datasets, for the sets that come without thumbnails.

    Example:
        >>> import torch
        >>> from heat_core.features import Features
        >>> from heat_core.images.thumbnails import encode_sheet
        >>> from heat_core.pack import ExtraID
        >>> rows = Features(torch.zeros(2, 3), torch.tensor([0, 1]))
        >>> sheet = encode_sheet(np.zeros((2, 32, 32, 3), np.uint8))
        >>> pack = Pack(rows, rows, {("far", "noise"): rows}, ExtraID(), {}, {"test": sheet})
        >>> gallery = Gallery(pack)
        >>> gallery.has("test"), gallery.has("train")
        (True, False)
        >>> gallery.pixels("test", [1]).shape
        (1, 32, 32, 3)
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
            rows: n rows of the set.

        Raises:
            LookupError: nothing says which images these are, or no folder has them; the message
                says how to get them.
        """
        if name in self.pack.thumbnails:
            return self._thumbnails(name)[list(rows)]
        features = self._features[name]
        if SetName.parse(name).is_pseudo:
            raise LookupError(
                f"{self.pack.title_of(name)} was made of destroyed images, which are not kept."
            )
        if features.index is None or "/" not in features.source:
            raise LookupError(f"{self.pack.title_of(name)} came as features alone, without images.")
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

    def _thumbnails(self, name: str) -> Pixels:
        """Returns the tiles of a set, (N, 32, 32, 3)."""
        if name not in self._tiles:
            sheet, count = self.pack.thumbnails[name], len(self._features[name])
            self._tiles[name] = decode_sheet(sheet, count)
        return self._tiles[name]

    def _read(self, source: str) -> Images:
        """Returns all images of `dataset/split`. Raises LookupError if they are not at hand."""
        if source not in self._images:
            name, _, split = source.rpartition("/")
            try:
                self._images[source] = read_images(name, self.roots, split)
            except (FileNotFoundError, ValueError) as error:
                dataset = find_dataset(name)
                raise LookupError(
                    f"{dataset.title} is not at hand. To see it: {dataset.how_to_get('data')}."
                ) from error
        return self._images[source]
