"""What the Threshold lab ships: a detector with its decision, as files. No Streamlit here."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from app.job import Job, Work
from app.threshold_lab.scorer_process import numpy_scorer_files
from heat_core.thresholds import Decision, ThresholdRule

if TYPE_CHECKING:
    from heat_core.pack import Pack
    from heat_core.run import Run
    from heat_core.scores import SetScores

MAX_FILE_MB = 64  # of one file to download; the server holds it while somebody may want it
PRESET = "modern"


@dataclass(frozen=True)
class ShippedFile:
    """A file to download.

    Args:
        name: of the file.
        content: nothing where it could not be made.
        missing_reason: why it could not be made.
    """

    name: str
    content: bytes = b""
    missing_reason: str = ""


@dataclass(frozen=True)
class Shipment:
    """A detector with its decision, made to score elsewhere.

    Args:
        decision: that the files hold, with its interval and what it does to other rows.
        folder: that unpacking makes.
        bundle: a zip file, for `heat score`, `heat check` and `heat serve`.
        scorer: a zip file that scores with NumPy.
        report: gives, for the address of this view, the HTML page of what the decision is worth.
    """

    decision: Decision
    folder: str
    bundle: ShippedFile
    scorer: ShippedFile
    report: Callable[[str], str]


def shipping_work(
    pack: Pack,
    detector: str,
    rule: ThresholdRule,
    ood_names: tuple[str, ...] = (),
    run: Run | None = None,
) -> Work:
    """Returns the work of fitting a detector and packing it with the decision of a rule.

    Its result is a `Shipment`. It fails with one line where the scores do not allow the rule.

    Args:
        pack: whose training features the detector is fitted to.
        detector: its name.
        rule: that chooses the threshold.
        ood_names: OOD sets that the rule may read.
        run: the detector as it is fitted to the pack already, if it was kept.
    """

    def work(job: Job) -> Shipment:
        from heat_core.bundles import bundle_files, bundle_of
        from heat_core.progress import progress_to
        from heat_core.results.html_report import html_report
        from heat_core.scores import score_pack

        with progress_to(partial(_say_step, job)):
            fitted = _fit(job, pack, detector) if run is None else run
            job.report(0.6, doing="choosing the threshold")
            names = ood_names if rule.needs_ood else ()
            bundle = bundle_of(fitted, pack, rule, names, PRESET)
            job.report(0.7, doing="packing the files")
            folder = folder_name(detector, bundle.pack_title)
            files = bundle_files(bundle)
            scorer = partial(
                numpy_scorer_files, files, lambda: job.report(0.8, doing="making the NumPy scorer")
            )
            scores = score_pack(pack, bundle.score)
            return Shipment(
                bundle.decision,
                folder,
                _zip_file(f"{folder}.zip", folder, lambda: files),
                _zip_file(f"{folder}-numpy.zip", f"{folder}-numpy", scorer),
                partial(html_report, bundle, pack, scores),
            )

    return work


def _say_step(job: Job, doing: str, share: float | None) -> None:
    from heat_core.progress import progress_text

    job.report(job.progress, doing=progress_text(doing, share))


def _fit(job: Job, pack: Pack, detector: str) -> Run:
    """Returns the run of a detector, fitted as the pages fit it."""
    from heat_core.detectors.presets import domain_of, preset_detector
    from heat_core.run import fit

    return fit(
        preset_detector(detector, PRESET, domain_of(pack.extra)),
        pack.train,
        on_record=lambda record, energy: job.report(0.6 * record.step / record.steps),
        extra=pack.extra,
    )


def _zip_file(name: str, folder: str, files: Callable[[], dict[str, bytes]]) -> ShippedFile:
    """Returns a zip file of files in a folder, or the reason why there is none."""
    from heat_core.files import zip_of

    try:
        content = files()
    except ValueError as error:
        return ShippedFile(name, missing_reason=str(error))
    size_mb = sum(map(len, content.values())) / 1e6
    if size_mb > MAX_FILE_MB:
        reason = (
            f"It would hold {size_mb:,.0f} MB, and a page gives {MAX_FILE_MB} at most: make it on "
            "the machine that has the features, by `heat decide`."
        )
        return ShippedFile(name, missing_reason=reason)
    return ShippedFile(name, zip_of(content, folder))


def folder_name(detector: str, title: str) -> str:
    """Returns the name of a folder: the detector, and the first words of the pack's title.

    >>> folder_name("RMD++", "CIFAR-10, ResNet-18 of ..."), folder_name("HEAT", "../é")
    ('RMD++-CIFAR-10-ResNet-18', 'HEAT')
    """
    return "-".join([detector, *re.findall(r"[A-Za-z0-9_-]+", title)[:2]])[:60].rstrip("-")


def rows_parted_otherwise(scores: SetScores, one: float, other: float) -> int:
    """Returns how many rows, of all sets, lie between two thresholds: the verdict on them differs.

    >>> import numpy as np
    >>> from heat_core.scores import SetScores
    >>> scores = SetScores({"test": np.array([1.0, 2.0]), "far_a": np.array([2.5, 9.0])})
    >>> rows_parted_otherwise(scores, 1.5, 2.5)
    2
    """
    return sum(int(((values > one) != (values > other)).sum()) for values in scores.values())
