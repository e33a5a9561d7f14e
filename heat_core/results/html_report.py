"""A bundle as one page for whoever has to trust it: its decision, what that rests on, its limits.

The page is one HTML file: it runs no script and fetches nothing.
"""

from __future__ import annotations

import hashlib
import math
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import torch

from heat_core.bundles import Bundle, bundle_files
from heat_core.bundles.bundle import pack_fingerprint
from heat_core.bundles.checking import TOLERANCE
from heat_core.bundles.files import HASHED
from heat_core.explain import assigned_classes
from heat_core.metrics import separation
from heat_core.pack import Pack
from heat_core.run import to_json
from heat_core.scores import SetScores
from heat_core.set_name import SetName
from heat_core.texts import one_line
from heat_core.thresholds import (
    Assessment,
    Conformal,
    Decision,
    Interval,
    Outcome,
    assess,
    split_scores,
)
from heat_core.version import __version__

from .histogram import Array, Histogram, bin_edges
from .markup import Html, document, element, joined
from .page_style import STYLE
from .score_axis import SYMLOG_NOTE, is_even

BARS = 40  # of a histogram
PREVALENCES = (0.01, 0.05, 0.1, 0.5)  # shares of OOD among inputs, of which nobody knows the true
MOST_CLASSES = 20  # whose thresholds are shown one by one
NOTHING_FETCHED = "default-src 'none'; style-src 'unsafe-inline'"


def html_report(
    bundle: Bundle,
    pack: Pack,
    scores: SetScores,
    link: str = "",
    notes: Iterable[str] = (),
    made: datetime | None = None,
) -> str:
    """Returns the report of a bundle: one HTML page that runs no script and fetches nothing.

    It says the decision, what it promises and whether other rows kept that, how it does on every
    OOD set, what it was made of, and what it does not say.

    Args:
        bundle: a detector with its decision.
        pack: that the bundle was made of.
        scores: of the bundle's detector on the sets of the pack; OOD sets may be left out.
        link: that opens the view in the app anew, if there is one: http or https.
        notes: warnings about the pack, a sentence each.
        made: when the report was made; now, if it is not given.

    Raises ValueError, in one line, if the pack or the scores are not the bundle's, or the link is
    none.

    >>> from heat_core.bundles import bundle_of
    >>> from heat_core.detectors.closed_form import MoG
    >>> from heat_core.features import Features
    >>> from heat_core.pack import NO_EXTRA
    >>> from heat_core.run import fit
    >>> from heat_core.scores import score_pack
    >>> z = torch.randn(400, 3, generator=torch.Generator().manual_seed(0))
    >>> train, test = Features(z[:200], torch.arange(200) % 2), Features(z[200:])
    >>> pack = Pack(train, test, {("far", "a"): Features(9 + z)}, NO_EXTRA, {"title": "my data"})
    >>> bundle = bundle_of(fit(MoG(normalize=False), train), pack, Conformal(0.9))
    >>> page = html_report(bundle, pack, score_pack(pack, bundle.score))
    >>> "<h1>MoG on my data</h1>" in page, "of the OOD inputs that it was tried on" in page
    (True, True)
    """
    if link and not link.startswith(("https://", "http://")):
        raise ValueError(f"the link must begin with https:// or http://, got {one_line(link, 60)}.")
    facts = _facts(bundle, pack, scores)
    made = made or datetime.now(UTC)
    title = f"{bundle.detector.name} on {one_line(bundle.pack_title)}"
    body = element(
        "body",
        _header(facts, title),
        element(
            "main",
            _section("Decision", *_decision(facts)),
            _section("Threshold", *_threshold(facts)),
            _section("Scores", *_histograms(facts)),
            _section("OOD sets", *_ood_sets(facts)),
            _section("Precision in use", *_precision(facts)),
            _section("Settings", _settings(bundle)),
            _section("Origin", _origin(bundle, made)),
            _section("What this does not say", _limits(facts, notes)),
            _section("Open this view", *_link(link)) if link else "",
        ),
    )
    return document(title, STYLE, body, NOTHING_FETCHED)


# -- what is said ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Facts:
    """What the page says, before it is put into words.

    Args:
        bundle, pack, scores: as `html_report` takes them.
        assessment: what the decision does to rows that it was not chosen on.
        margins: scores less the threshold of each row's class, where classes have their own; else
            the scores.
    """

    bundle: Bundle
    pack: Pack
    scores: SetScores
    assessment: Assessment
    margins: SetScores

    @property
    def averaged(self) -> tuple[str, ...]:
        """The names of the OOD sets with scores that averages count."""
        return tuple(name for name in self.scores.ood_names if name not in self.pack.apart)

    @property
    def outcome(self) -> Outcome:
        """The effect of the decision on rows that it was not chosen on, and averages count."""
        decision = self.bundle.decision
        shares: dict[str, dict[str, float]] = {}
        for group, name in map(SetName.parse, self.averaged):
            caught = self.assessment.caught_by_set[group][name]
            shares.setdefault(group, {})[name] = caught.share
        threshold = math.nan if decision.by_class else decision.threshold
        return Outcome(threshold, self.assessment.kept.share, shares)


def _facts(bundle: Bundle, pack: Pack, scores: SetScores) -> _Facts:
    """Returns what the page says. Raises ValueError if pack or scores are not the bundle's."""
    found = pack_fingerprint(pack)
    if found != bundle.pack_sha256:
        raise ValueError(
            f"the bundle was made of another pack: {one_line(bundle.pack_title)} "
            f"({bundle.pack_sha256[:12]}) was wanted, got {pack.title} ({found[:12]})."
        )
    decision, calibration = bundle.decision, bundle.calibration
    read = _names(calibration.outside)
    predicted = None
    if decision.by_class:
        sets = dict(pack.sets())
        predicted = {name: assigned_classes(pack.train, sets[name]) for name in scores}
    try:
        chosen_on, test = split_scores(scores, read, predicted, bundle.split_seed)
        off = float(np.abs(chosen_on.inside - calibration.inside).max())
    except (KeyError, ValueError):  # a set is missing, or has another number of rows
        off = math.inf
    if not off <= TOLERANCE * float(calibration.inside.std()):
        raise ValueError(
            f"the scores are not those that {bundle.detector.name} gave when the bundle was made."
        )
    margins = scores
    if predicted is not None:
        margins = SetScores(
            {name: decision.margin(values, predicted[name]) for name, values in scores.items()}
        )
    return _Facts(bundle, pack, scores, assess(decision, test), margins)


def _names(outside: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Returns the names of OOD sets by group, as a pack calls them."""
    return [str(SetName(group, name)) for group, sets in outside.items() for name in sets]


# -- its sections ----------------------------------------------------------------------------------


def _section(title: str, *content: object) -> Html:
    return element("section", element("h2", title), *content)


def _header(facts: _Facts, title: str) -> Html:
    """Returns the title, and what the data is."""
    pack = facts.pack
    rows = [
        f"{len(pack.train):,} training rows of {pack.train.dim} features in "
        f"{len(pack.train.classes)} classes",
        f"{len(pack.test):,} ID test rows",
    ]
    if pack.extra.val is not None:
        rows.append(f"{len(pack.extra.val):,} held-out ID rows")
    count = len(facts.scores.ood_names)
    rows.append(f"{count} OOD {'set' if count == 1 else 'sets'}")
    return element(
        "header",
        element("p", "Report on an out-of-distribution detector", class_="kicker"),
        element("h1", title),
        element("p", f"{', '.join(rows)}. {pack.passes_sentence}".strip(), class_="quiet"),
    )


def _decision(facts: _Facts) -> Iterator[Html]:
    """Gives the decision in a sentence, and what the score says."""
    bundle, outcome = facts.bundle, facts.outcome
    above = "the threshold of the class that it is taken for"
    if not bundle.decision.by_class:
        above = _number(bundle.decision.threshold)
    caught = "; how many others it catches was not tested"
    if outcome.caught_by_set:
        groups = [f"{group} {_percent(share)}" for group, share in outcome.caught_by_group.items()]
        of_groups = f" ({', '.join(groups)})" if len(groups) > 1 else ""
        caught = (
            f" and catches {_percent(outcome.caught)} of the OOD inputs that it was tried on"
            f"{of_groups}"
        )
    yield element(
        "p",
        f"{bundle.detector.name} flags an input as unlike the training data (out-of-distribution, "
        f"OOD) where its score is above {above}: so it flags {_percent(outcome.false_alarms)} of "
        f"ordinary, in-distribution (ID) inputs by mistake{caught}.",
        class_="decision",
    )
    yield element("p", f"The score: {one_line(bundle.detector.description)}.", class_="quiet")


def _threshold(facts: _Facts) -> Iterator[Html]:
    """Gives the threshold, its rule, its promise, and whether other rows kept that."""
    decision, assessment = facts.bundle.decision, facts.assessment
    rule = decision.rule
    rows = [
        ("Threshold", _threshold_text(facts)),
        ("Rule", f"{rule.title}. {rule.summary}"),
        ("Chosen on", _chosen_on(facts)),
        ("Promise", rule.guarantee or "None: this rule promises nothing of new inputs."),
    ]
    if rule.assumption:
        rows.append(("Holds if", f"{rule.assumption}."))
    kept = element(
        "span", assessment.remark, class_="kept" if assessment.is_within_chance else "doubt"
    )
    rows.append(("Other rows", kept))
    yield element("dl", *(joined(element("dt", name), element("dd", text)) for name, text in rows))
    if 0 < len(decision.by_class) <= MOST_CLASSES:
        classes = sorted(decision.by_class.items())
        rows = [(facts.pack.class_name(label), _number(t)) for label, t in classes]
        yield element("h3", "Threshold of each predicted class", class_="apart")
        yield element("div", _pairs(rows), class_="blocks")


def _threshold_text(facts: _Facts) -> str:
    decision = facts.bundle.decision
    if decision.by_class:
        low, high = min(decision.by_class.values()), max(decision.by_class.values())
        return (
            f"{len(decision.by_class)} thresholds, one a predicted class, from {_number(low)} to "
            f"{_number(high)}. This rule gives them no interval."
        )
    interval = "this rule gives it no interval"
    if decision.interval is not None:
        low, high = decision.interval
        interval = f"95 % interval {_number(low)} to {_number(high)}"
    return f"{_number(decision.threshold)}; {interval}"


def _chosen_on(facts: _Facts) -> str:
    decision, scores = facts.bundle.decision, facts.scores
    if not decision.n_calibration:
        return "No scores: somebody set it."
    rows = "held-out ID rows" if scores.calibration_name == "val" else "ID test rows, half of all"
    text = f"The scores of {decision.n_calibration:,} {rows}"
    read = _names(facts.bundle.calibration.outside) if decision.rule.needs_ood else []
    titles = ", ".join(facts.pack.title_of(name) for name in read)
    return f"{text}, and of half of {titles}." if read else f"{text}."


def _histograms(facts: _Facts) -> Iterator[Html]:
    """Gives a histogram of ID, and one of each group of OOD sets, on one axis."""
    decision, margins = facts.bundle.decision, facts.margins
    by_group = {"ID": margins.test}
    by_group |= {
        group: np.concatenate(list(sets.values()))
        for group, sets in margins.ood(facts.averaged).items()
    }
    threshold = 0.0 if decision.by_class else decision.threshold
    edges = bin_edges(by_group, threshold, BARS)
    unit = "score less its class's threshold" if decision.by_class else "score"
    yield element("p", _how_to_read(by_group, edges, decision), class_="quiet")
    panels = []
    for group, values in by_group.items():
        titles = [facts.pack.title_of("test")]
        if group != "ID":
            names = margins.ood(facts.averaged)[group]
            titles = [facts.pack.title_of(str(SetName(group, name))) for name in names]
        name = "In-distribution (ID)" if group == "ID" else f"{group.capitalize()} OOD"
        caption = f"{name}: {one_line(', '.join(titles))}; {len(values):,} rows"
        description = (
            f"A histogram of {len(values):,} scores. Half of them are at most "
            f"{_number(float(np.median(values)))}; {_percent(float(np.mean(values > threshold)))} "
            f"are above the threshold, {_number(threshold)}."
        )
        drawing = Histogram(
            group, caption, description, values, edges, unit, threshold, decision.interval
        )
        panels.append(element("figure", element("figcaption", caption), drawing.svg()))
    yield element("div", *panels, class_="panels")


def _how_to_read(by_group: Mapping[str, Array], edges: Array, decision: Decision) -> str:
    """Returns what the histograms of {group: (n,) scores} show, and what lies beyond the axis."""
    of_class = " of a row's class" if decision.by_class else ""
    band = "" if decision.interval is None else ", and the band around it is its 95 % interval"
    text = (
        "Every bar is a share of a group's rows; those right of the line are flagged. The line is "
        f"the threshold{of_class}{band}."
    )
    if not is_even(edges):
        text += f" {SYMLOG_NOTE}"
    values = np.concatenate(list(by_group.values()))
    below, beyond = int(np.sum(values < edges[0])), int(np.sum(values > edges[-1]))
    if below or beyond:
        text += (
            f" The axis ends where few rows are left: the first bar holds {below:,} rows from "
            f"below it, the last {beyond:,} from beyond, of {len(values):,} in all."
        )
    return text


def _ood_sets(facts: _Facts) -> Iterator[Html]:
    """Gives the table of every OOD set."""
    if not facts.scores.ood_names:
        yield element("p", "There are none: how much OOD is caught was not tested.")
        return
    yield element(
        "p",
        "Groups say how alike OOD is to the training data: near, mid, far. Caught is the share "
        "that is flagged of rows that the threshold was not chosen on, with its exact interval. "
        "The other two hold for the scores, whatever the threshold: FPR95 is the share of OOD that "
        "is accepted where 95 % of ID is kept, AUROC the chance that an OOD row scores higher than "
        "an ID row. Intervals are of 95 %.",
        class_="quiet",
    )
    heading = ("Set", "Rows", "Caught", "FPR95", "AUROC")
    yield _table(
        "Every OOD set", heading, [_ood_row(facts, name) for name in facts.scores.ood_names]
    )
    if facts.pack.apart_sentence:
        left_out = "The decision, the histograms and the precision leave them out, too."
        yield element("p", f"{facts.pack.apart_sentence} {left_out}", class_="quiet")


def _ood_row(facts: _Facts, text: str) -> tuple[object, ...]:
    name = SetName.parse(text)
    scores = facts.scores[text]
    figures = separation(facts.scores.test, scores)
    caught = facts.assessment.caught_by_set[name.group][name.short_name]
    judged = "" if caught.n == len(scores) else _within(f"{caught.n:,} judged")
    return (
        joined(facts.pack.marked_title_of(text), _within(name.group)),
        joined(f"{len(scores):,}", judged),
        joined(_percent(caught.share), _within(_percent_interval(caught.interval()))),
        _percent(figures.fpr95),
        joined(_percent(figures.auroc), _within(_percent_interval(figures.interval))),
    )


def _precision(facts: _Facts) -> Iterator[Html]:
    """Gives what the share of OOD among inputs does to what is flagged."""
    outcome = facts.outcome
    if not outcome.caught_by_set:
        yield element("p", "It cannot be said without OOD sets.")
        return
    yield element(
        "p",
        "The precision, the share of OOD among what is flagged, depends on how common OOD is, and "
        "these data do not say that. Expected of 1,000 inputs if OOD is as the sets above, every "
        "group counting the same and every set within it:",
        class_="quiet",
    )
    body = []
    for prevalence in PREVALENCES:
        expected = outcome.per_thousand(prevalence)
        precision = "none flagged" if not expected.flagged else _percent(expected.precision)
        counts = (expected.flagged, expected.caught, expected.false_alarms, expected.missed)
        body.append((f"{100 * prevalence:g} %", precision, *(f"{count:,.0f}" for count in counts)))
    heading = (
        "OOD among inputs",
        "Precision",
        "Flagged",
        "OOD caught",
        "ID flagged",
        "OOD missed",
    )
    yield _table("Precision by how common OOD is", heading, body)


# -- settings and origin ---------------------------------------------------------------------------


def _settings(bundle: Bundle) -> Html:
    """Returns the settings that make the bundle anew, a small table for each part."""
    detector, rule = to_json(bundle.detector), to_json(bundle.decision.rule)
    fit: dict[str, Any] = {"seed": bundle.seed, "seed of halves": bundle.split_seed}
    if bundle.preset:
        fit["preset"] = bundle.preset
    blocks = [
        *_blocks(f"Detector: {detector['kind']}", detector),
        *_blocks(f"Rule: {rule['kind']}", rule),
        ("Fit", fit),
    ]
    if bundle.chosen_settings:
        blocks.append(("Found at fit, on ID data alone", bundle.chosen_settings))
    tables = [
        element("section", element("h3", title), _setting_rows(rows)) for title, rows in blocks
    ]
    remarks = [
        element("p", one_line(text, 1000), class_="quiet")
        for text in (bundle.left_out, bundle.warning)
        if text
    ]
    return joined(element("div", *tables, class_="blocks"), *remarks)


def _setting_rows(settings: Mapping[str, Any]) -> Html:
    rows = [(name.replace("_", " "), _value(value)) for name, value in settings.items()]
    return _pairs(rows) if rows else element("p", "no settings", class_="quiet")


def _blocks(title: str, values: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Gives a title and plain settings of a part, then of each part within it.

    >>> list(_blocks("A", {"kind": "A", "k": 5, "inner": {"kind": "B", "lr": 0.1}}))
    [('A', {'k': 5}), ('inner: B', {'lr': 0.1})]
    """
    plain, parts = {}, []
    for key, value in values.items():
        if key == "kind":
            continue
        inner = [item for item in _as_list(value) if isinstance(item, dict)]
        if not inner:
            plain[key] = value
        for number, item in enumerate(inner, 1):
            name = f"{key} {number}" if isinstance(value, list) else key
            parts.append((f"{name.replace('_', ' ')}: {item.get('kind', '')}", item))
    yield title, plain
    for name, part in parts:
        yield from _blocks(name, part)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _origin(bundle: Bundle, made: datetime) -> Html:
    """Returns what a stranger needs to make it anew: hashes, versions, dates."""
    files = bundle_files(bundle)
    rows: list[tuple[str, object]] = [
        ("Data", one_line(bundle.pack_title)),
        ("SHA-256 of the data's arrays", element("code", one_line(bundle.pack_sha256))),
    ]
    for name in HASHED:
        digest = hashlib.sha256(files[name]).hexdigest()
        rows.append((f"SHA-256 of {name}", element("code", digest)))
    if bundle.created:
        version = one_line(bundle.code_version)
        rows.append(("Bundle made", f"{_date(bundle.created)}, by heat-dashboard {version}"))
    python, numpy = platform.python_version(), np.__version__
    rows += [
        ("Report made", f"{_date(made.isoformat())}, by heat-dashboard {__version__}"),
        ("With", f"Python {python}, torch {torch.__version__}, numpy {numpy}"),
    ]
    return element("div", _pairs(rows), class_="origin")


def _date(text: str) -> str:
    """Returns a date of a file as one reads it, or the text where it is none.

    >>> _date("2026-11-27T18:26:38+00:00"), _date("today")
    ('2026-11-27 18:26 UTC', 'today')
    """
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        return one_line(text)
    zone = " UTC" if date.utcoffset() == timedelta(0) else ""
    return f"{date:%Y-%m-%d %H:%M}{zone}"


# -- limits and link -------------------------------------------------------------------------------


def _limits(facts: _Facts, notes: Iterable[str]) -> Html:
    """Returns what must not be read into the page, one item each."""
    items = [*_of_the_promise(facts), *_of_the_data(facts), *notes]
    return element("ul", *(element("li", one_line(item, 1000)) for item in items))


def _of_the_promise(facts: _Facts) -> Iterator[str]:
    decision = facts.bundle.decision
    rule = decision.rule
    if not rule.guarantee:
        yield (
            "Nothing is promised of new inputs. The figures say how the threshold did on these "
            "rows, and no more."
        )
    else:
        yield (
            "The promise ends where the world changes. Inputs from another camera, place, season "
            "or way of preparing the data do not come from where these rows come from, and then "
            "more or fewer of them may be flagged. Nothing on this page notices such a change."
        )
    if isinstance(rule, Conformal):
        low, high = rule.kept_interval(decision.n_calibration)
        yield (
            "The promise is of the average over calibration sets. What one threshold keeps of all "
            f"ID inputs is above or below it by chance: chosen on {decision.n_calibration:,} "
            f"scores, it is {_percent_interval((low, high))} in 95 of 100 cases."
        )
    if rule.per_class:
        yield (
            "A class is what the classifier takes an input for. Of inputs that truly are of a "
            "class nothing is promised."
        )
    if rule.needs_ood:
        yield (
            "The threshold was chosen with the help of OOD sets, so it suits those. Of other kinds "
            "of OOD it may catch far fewer."
        )


def _of_the_data(facts: _Facts) -> Iterator[str]:
    if facts.scores.ood_names:
        titles = ", ".join(facts.pack.title_of(name) for name in facts.scores.ood_names)
        yield (
            f"Only these kinds of OOD were tried: {titles}. Inputs that are unusual in another way "
            "may be caught less often, or never."
        )
    else:
        yield "No OOD was tried: whether anything unusual is caught is not known."
    yield (
        "Intervals say how far chance goes in counting these rows. They do not say what another "
        "dataset, another training of the classifier or another seed would give."
    )
    yield (
        "A flag says that an input is unlike the training data. It does not say that the "
        "classifier is wrong about it, and an input without a flag may be classified wrongly."
    )


def _link(link: str) -> Iterator[Html]:
    yield element("p", "This opens the same view in the app, where it runs:")
    yield element("p", element("a", link, href=link, rel="noreferrer"))


# -- parts -----------------------------------------------------------------------------------------


def _table(name: str, heading: Sequence[str], body: Iterable[Sequence[object]]) -> Html:
    """Returns a table of numbers, whose first column names its rows; it scrolls where it must."""
    first, *others = heading
    columns = [element("th", column, scope="col", class_="number") for column in others]
    head = element("thead", element("tr", element("th", first, scope="col"), *columns))
    rows = [
        element(
            "tr",
            element("th", row_name, scope="row"),
            *(element("td", cell, class_="number") for cell in cells),
        )
        for row_name, *cells in body
    ]
    table = element("table", head, element("tbody", *rows))
    return element("div", table, class_="wide", role="region", aria_label=name, tabindex="0")


def _pairs(rows: Iterable[tuple[str, object]]) -> Html:
    """Returns a table of names and values."""
    lines = [
        element("tr", element("th", name, scope="row"), element("td", value))
        for name, value in rows
    ]
    return element("table", element("tbody", *lines), class_="pairs")


def _value(value: Any) -> str:
    """Returns a setting as one reads it.

    >>> _value(None), _value(True), _value([0.9, 0.999]), _value(300)
    ('left open', 'yes', '0.9, 0.999', '300')
    """
    if value is None:
        return "left open"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_value(item) for item in value)
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() and abs(value) < 1e15 else _number(value)
    return one_line(value)


def _within(text: str) -> Html:
    """Returns what stands below a figure, in small print."""
    return element("span", text, class_="within")


def _number(value: float) -> str:
    return f"{value:.6g}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _percent_interval(interval: Interval) -> str:
    low, high = (100 * bound for bound in interval)
    return f"{low:.1f} to {high:.1f} %"
