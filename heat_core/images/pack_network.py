"""The network that a pack was extracted with, ready to read images as the pack's were."""

from __future__ import annotations

from pathlib import Path

from heat_core.pack import Pack

from .classifier import FINGERPRINT_KEY, fingerprint, load
from .extract import EarlyLayer, Extractor


def extractor_of(pack: Pack, weights: Path, device: str = "cpu") -> Extractor:
    """Returns the extractor that gives images the features that the pack's images have.

    Args:
        pack: with the network's fingerprint on its card.
        weights: the network that the pack was extracted with.
        device: where the network runs.

    Raises ValueError if the weights are another network's or cannot be read, or the pack does not
    say of which layer its view `early` is.
    """
    network, architecture, _ = load(weights)
    classifier_card = pack.card.get("classifier", {})
    if fingerprint(network) != classifier_card.get(FINGERPRINT_KEY):
        raise ValueError(f"{weights.name} is not the network that {pack.title} was extracted with.")
    return Extractor(
        network,
        architecture,
        layer=classifier_card.get("layer", ""),
        std="std" in pack.train.views,
        odin="odin" in pack.train.views,
        dtype=pack.train.z.dtype,
        device=device,
        early_layer=_early_layer(pack),
        mirror=pack.is_mirrored,
    )


def _early_layer(pack: Pack) -> EarlyLayer | None:
    """Returns the earlier layer that the pack's view `early` is of, if it has that view.

    Raises ValueError if the card does not name it, or its moments are missing.
    """
    if "early" not in pack.train.views:
        return None
    layer = pack.card.get("classifier", {}).get("early")
    moments = pack.train.moments.get(f"unit {layer}")
    if moments is None:
        raise ValueError(
            f"the pack has the view early, and no moments of the layer that it is of (the card "
            f"names {layer or 'none'})."
        )
    return EarlyLayer.of(layer, moments)
