"""A threshold chosen, kept with its detector, and checked."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .command import Command
from .options import AddOption, add_device, add_overwrite, add_seed
from .progress import progress_line
from .shared import (
    check_out,
    check_parent,
    has_format,
    network_file,
    print_notes,
    require,
    split_names,
)

if TYPE_CHECKING:
    from heat_core.bundles import Bundle
    from heat_core.thresholds import Decision, ThresholdRule


def _decide_options(add: AddOption) -> None:
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
    add_seed(add, "of the halves of sets that both choose and judge, and of resamples")
    add_device(add)
    add_overwrite(add)


def decide(options: argparse.Namespace) -> None:
    """Chooses a threshold for a run and writes the bundle of both, or prints the decision."""
    import json

    from heat_core.assumptions import notes_on_run
    from heat_core.bundles import bundle_of, save_bundle
    from heat_core.bundles.files import decision_card
    from heat_core.pack import read_pack
    from heat_core.run import load

    if options.out is not None:
        check_out(options.out, options.overwrite)
    rule = rule_of(options)
    run = load(options.run_folder, options.device)
    pack = read_pack(options.pack)
    print_notes(notes_on_run(run, pack))
    names = split_names(options.ood) if options.ood else ()
    if rule.needs_ood and not names:
        names = tuple(map(str, pack.ood))
    with progress_line(run.detector.name):
        bundle = bundle_of(run, pack, rule, names, options.preset, options.seed)
    if options.out is None:
        print(json.dumps(decision_card(bundle), indent=2))
    else:
        save_bundle(bundle, options.out, options.overwrite)
        print(f"{options.out}: {run.detector.name} with its decision, to score and to ship with.")
    print_decision(bundle.decision)


def rule_of(options: argparse.Namespace) -> ThresholdRule:
    """Returns the rule that is asked for. Raises ValueError on a setting that it does not have."""
    from heat_core.thresholds import RULES, ByHand, Deployment

    if options.rule not in RULES:
        raise ValueError(f"--rule must be one of {', '.join(RULES)}; got {options.rule!r}.")
    rule = RULES[options.rule]
    known = {field.name for field in fields(rule)}  # type: ignore[arg-type]
    settings: dict[str, Any] = {}
    for name in ("share", "confidence", "threshold"):
        value = getattr(options, name)
        if value is not None and name not in known:
            raise ValueError(f"--rule {options.rule} has no --{name}.")
        if value is not None:
            settings[name] = value
    read = PREVALENCE if "deployment" in known else ()
    read += COSTS if rule.reads_costs else ()
    given = [name for name in PREVALENCE + COSTS if getattr(options, name) is not None]
    for name in given:
        if name not in read:
            raise ValueError(f"--rule {options.rule} has no --{name.replace('_', '-')}.")
    if given:
        settings["deployment"] = Deployment(**{name: getattr(options, name) for name in given})
    if rule is ByHand and not settings:
        raise ValueError("--rule hand wants the threshold: --threshold 1.25.")
    return rule(**settings)


PREVALENCE, COSTS = ("prevalence",), ("miss_cost", "false_alarm_cost")  # of a `Deployment`


def print_decision(decision: Decision) -> None:
    """Prints a decision in plain words, on standard error."""
    rule, assessment = decision.rule, decision.assessment
    chosen_on = (
        f", chosen on {decision.n_calibration:,} ID scores" if decision.n_calibration else ""
    )
    lines = [f"{rule.title}{chosen_on}."]
    if decision.by_class:
        lines.append(f"{len(decision.by_class)} thresholds, one a predicted class.")
    else:
        interval = decision.interval
        within = f" (95 % interval {interval[0]:.6g} to {interval[1]:.6g})" if interval else ""
        lines.append(f"Threshold {decision.threshold:.6g}{within}; a score above it is OOD.")
    if rule.guarantee:
        lines.append(f"{rule.guarantee} That holds if {rule.assumption}.")
    if assessment is not None:
        lines.append(assessment.remark)
        for group, sets in assessment.caught_by_set.items():
            for name, caught in sets.items():
                low, high = (100 * bound for bound in caught.interval())
                lines.append(
                    f"{group} {name}: {100 * caught.share:.1f} % of {caught.n:,} caught "
                    f"({low:.1f} to {high:.1f} %)."
                )
    print("\n".join(lines), file=sys.stderr)


def _export_options(add: AddOption) -> None:
    add("bundle", metavar="BUNDLE", type=Path)
    add("--to", choices=("numpy", "onnx"), default="numpy", help="what it is to score with")
    images = "with --to onnx: take images, which the network of this pack reads"
    add("--images", metavar="PACK", type=Path, help=images)
    weights = "the network of --images; PACK.classifier.safetensors if not given"
    add("--weights", type=Path, help=weights)
    add("--out", type=Path, required=True, help="a folder")
    add_overwrite(add)


def export(options: argparse.Namespace) -> None:
    """Writes a bundle as a folder that scores without torch: a NumPy scorer or an ONNX graph."""
    from heat_core.bundles import load_bundle
    from heat_core.export import export_numpy

    _check_export(options)
    bundle = load_bundle(options.bundle)
    if options.to == "numpy":
        export_numpy(bundle, options.out, options.overwrite)
        print(f"{options.out}: score.py scores rows with numpy and safetensors alone.")
    else:
        _export_onnx(options, bundle)


def _check_export(options: argparse.Namespace) -> None:
    """Raises ValueError, OSError or ModuleNotFoundError where an export cannot be, before work."""
    if options.to == "onnx":
        require("onnx")
        require("onnxscript")
    elif options.images is not None:
        raise ValueError("--images is for --to onnx: the NumPy scorer takes features alone.")
    if options.weights is not None and options.images is None:
        raise ValueError("--weights is for --images PACK, whose network it is.")
    if options.out.suffix == ".onnx":
        raise ValueError(f"--out is a folder, for model.onnx and its card; got {options.out.name}.")
    if options.out.exists() and not options.overwrite:
        raise FileExistsError(f"{options.out} exists already; --overwrite replaces it.")
    card = options.out / "card.json"
    is_export = has_format(card, "heat-scorer") or has_format(card, "heat-onnx")
    if options.out.exists() and not is_export:
        raise FileExistsError(f"{options.out} is no exported bundle, so it is not replaced.")
    check_parent(options.out)


def _export_onnx(options: argparse.Namespace, bundle: Bundle) -> None:
    from heat_core.export import ImageReader, export_onnx
    from heat_core.pack import read_pack

    reader = None
    if options.images is not None:
        weights = network_file(options.images, options.weights)
        reader = ImageReader.of(bundle, read_pack(options.images), weights)
    with progress_line(bundle.detector.title):
        export_onnx(bundle, options.out, options.overwrite, reader)
    taken = "features" if reader is None else "images of 32 x 32 pixels"
    print(f"{options.out}: model.onnx decides about {taken}; card.json says what goes in and out.")


def _check_options(add: AddOption) -> None:
    add("bundle", metavar="BUNDLE", type=Path)
    add("pack", metavar="PACK", type=Path, help="that it was made of")
    add_device(add)


def check(options: argparse.Namespace) -> None:
    """Makes a bundle anew from its settings and seed, and says whether it holds."""
    from heat_core.bundles import check_bundle, load_bundle
    from heat_core.pack import read_pack

    bundle = load_bundle(options.bundle, options.device)
    pack = read_pack(options.pack)
    with progress_line(bundle.detector.name):
        differences = check_bundle(bundle, pack, options.device)
    if differences:
        raise ValueError(f"{options.bundle} does not hold: {'; '.join(differences)}.")
    print(
        f"{options.bundle}: fitted anew from its settings and seed, {bundle.detector.name} gives "
        "the same scores, and its rule the same threshold."
    )


DECIDE = Command(
    name="decide",
    run=decide,
    add_options=_decide_options,
    summary="Choose a threshold for a run, and keep both as a bundle.",
    example="runs/heat assets/packs/cifar10-resnet18 --rule conformal --share 0.95 "
    "--out bundles/heat",
)

CHECK = Command(
    name="check",
    run=check,
    add_options=_check_options,
    summary="Make a bundle anew from its settings and seed, and say whether it holds.",
    example="bundles/heat assets/packs/cifar10-resnet18",
)

EXPORT = Command(
    name="export",
    run=export,
    add_options=_export_options,
    summary="Turn a bundle into a folder that scores without torch.",
    example="bundles/heat --to numpy --out scorers/heat",
)
