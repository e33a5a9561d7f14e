"""Packs: made of arrays, laid out on a map."""

from __future__ import annotations

import argparse
from functools import partial

from .progress import progress_line
from .shared import check_out, check_parent, print_notes


def make_pack(options: argparse.Namespace) -> None:
    """Makes a pack of arrays."""
    from heat_core.assumptions import notes_on
    from heat_core.pack import pack_from_npz, write_pack

    check_out(options.out, options.overwrite)
    pack = pack_from_npz(options.arrays)
    write_pack(pack, options.out, options.overwrite)
    head = "with a head"
    if pack.train.head is None:
        head = "without a head: MSP, Energy and all else of the logits need weight and bias"
    print(
        f"{options.out}: {len(pack.train):,} x {pack.train.dim} training features, "
        f"{len(pack.ood)} OOD sets, {head}."
    )
    print_notes(notes_on(pack))


def project(options: argparse.Namespace) -> None:
    """Adds a map of its rows to a pack."""
    from heat_core.pack import read_pack, write_pack
    from heat_core.projection import lay_out

    pack = read_pack(options.pack)
    check_parent(options.pack)
    with progress_line(options.method) as line:
        on_progress = partial(line.show, "laying out")
        pack = lay_out(pack, options.method, options.seed, on_progress)
    write_pack(pack, options.pack)
    layout = pack.card["map"]
    print(
        f"{options.pack}: {layout['rows']:,} rows on a map by {layout['method']}, "
        f"trustworthiness {layout['trustworthiness']}."
    )
