"""Packs: made of arrays, laid out on a map."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from .command import Command
from .options import AddOption, add_overwrite, add_seed
from .progress import progress_line
from .shared import check_out, check_parent, print_notes


def _pack_options(add: AddOption) -> None:
    files = (
        "an npz of train_z, train_y, test_z, near_NAME ...; or a table (Parquet, CSV) or an npy a "
        "set, named train, test, near_NAME ..., or given as NAME=FILE: see the README"
    )
    add("files", metavar="FILE", nargs="+", help=files)
    add("--out", type=Path, required=True, help="the pack's folder")
    features = "of tables, by commas, * for any letters; z, or those numbered f0, f1 ... by default"
    add("--features", default="", metavar="COLUMNS", help=features)
    add("--label", default="", metavar="COLUMN", help="of tables; label, y or class by default")
    add("--id", default="", metavar="COLUMN", help="of tables, that names a row; id by default")
    set_column = "of a table of several sets, that says the set of a row; set or split by default"
    add("--set", default="", metavar="COLUMN", help=set_column)
    add_overwrite(add)


def make_pack(options: argparse.Namespace) -> None:
    """Makes a pack of arrays and tables."""
    from heat_core.assumptions import notes_on
    from heat_core.pack import write_pack
    from heat_core.pack_files import pack_from_files
    from heat_core.table_files import ColumnNames

    check_out(options.out, options.overwrite)
    columns = ColumnNames(options.features, options.label, options.id, options.set)
    title = options.out.name if len(options.files) > 1 else ""
    pack = pack_from_files(_named_files(options.files), columns, title=title)
    write_pack(pack, options.out, options.overwrite)
    head = "with a head"
    if pack.train.head is None:
        head = "without a head: MSP, Energy and all else of the logits need weight and bias"
    columns = ", ".join(pack.metadata_columns)
    print(
        f"{options.out}: {len(pack.train):,} x {pack.train.dim} training features, "
        f"{_ood_sets_text(len(pack.ood))}, {f'metadata {columns}, ' if columns else ''}{head}."
    )
    print_notes(notes_on(pack))


def _named_files(texts: Sequence[str]) -> dict[str, Path]:
    """Returns {name: file} of arguments `FILE`, which is named as it is called, and `NAME=FILE`.

    Raises ValueError if two have one name.

    >>> _named_files(["in/train.csv", "test=in/b.csv"])
    {'train': PosixPath('in/train.csv'), 'test': PosixPath('in/b.csv')}
    """
    files: dict[str, Path] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or Path(text).exists():
            name, path = Path(text).stem, text
        if name in files:
            raise ValueError(
                f"two files are called {name}: {files[name]} and {path}; give one as NAME=FILE."
            )
        files[name] = Path(path)
    return files


def _ood_sets_text(count: int) -> str:
    return f"{count} OOD sets" if count else "no OOD set (nothing says what detectors catch)"


def _project_options(add: AddOption) -> None:
    add("pack", metavar="PACK", type=Path)
    add("--method", default="umap", help="umap or pca")
    add_seed(add, "the same seed gives the same map")


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


PACK = Command(
    name="pack",
    run=make_pack,
    add_options=_pack_options,
    summary="Make a pack of your own arrays or tables.",
    example="arrays.npz --out packs/mine",
)

PROJECT = Command(
    name="project",
    run=project,
    add_options=_project_options,
    summary="Lay a pack out on a map: UMAP or PCA of its features.",
    example="packs/mine --method umap",
)
