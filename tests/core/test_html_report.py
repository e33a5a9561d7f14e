"""A bundle's report: one HTML page, well formed, with the library's figures; it fetches nothing."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from heat_core.__main__ import main
from heat_core.bundles import Bundle, bundle_of, load_bundle, save_bundle
from heat_core.detectors.closed_form import KNN, MoG
from heat_core.detectors.weighted_sum import OfView, WeightedSumOf
from heat_core.features import Features
from heat_core.metrics import separation
from heat_core.pack import Pack, read_pack, write_pack
from heat_core.results.histogram import COLOURS, Histogram, bar_shares, bin_edges
from heat_core.results.html_report import html_report
from heat_core.results.page_style import STYLE
from heat_core.scores import SetScores, score_pack
from heat_core.thresholds import (
    ByHand,
    Conformal,
    Deployment,
    PerClassConformal,
    PrecisionAtLeast,
    RecallAtLeast,
    ThresholdRule,
    Youden,
)
from tests.core.recipes import fitted
from tests.samples import clusters, extra, with_views

HOSTILE = "</style><script>alert('1')</script><img src=x onerror=\"alert(2)\">\u202e&amp;\x1b[31m"
LINK = "http://localhost:8501/threshold_lab?pack=samples&scorer=MoG&cut=1%2E5"
MADE = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
RULES: list[ThresholdRule] = [
    Conformal(0.9),
    PerClassConformal(0.7),
    RecallAtLeast(0.5, 0.9),
    PrecisionAtLeast(0.5, Deployment(0.5), 0.9),
    Youden(),
    ByHand(2.0),
]


@pytest.fixture(scope="module")
def pack(train: Features, far: Features) -> Pack:
    """A pack without `val`, whose test set is large enough to be halved."""
    near = with_views(*clusters(120, 31))
    sets = {("near", "a"): Features(near.z + 1, None, None, near.views), ("far", "b"): far}
    card = {"title": "samples", "sets": {"near_a": {"title": "Set A"}, "far_b": {"title": "Set B"}}}
    return Pack(train, with_views(*clusters(400, 30)), sets, type(extra())(), card)


def made(pack: Pack, rule: ThresholdRule | None = None) -> Bundle:
    rule = rule or Conformal(0.9)
    read = map(str, pack.ood) if rule.needs_ood else ()
    return bundle_of(fitted(MoG(), pack.train), pack, rule, read, preset="modern")


def page_of(bundle: Bundle, pack: Pack, scores: SetScores | None = None, **given: object) -> str:
    scores = scores or score_pack(pack, bundle.score)
    return html_report(bundle, pack, scores, made=MADE, **given)  # type: ignore[arg-type]


def test_sets_that_the_network_knew_are_marked_and_counted_in_nothing(pack: Pack) -> None:
    tuned = replace(pack, card={**pack.card, "classifier": {"resembles": ["a"]}})
    bundle = made(tuned)
    alone = replace(pack, ood={("far", "b"): pack.ood["far", "b"]})
    page, without = page_of(bundle, tuned), page_of(made(alone), alone)
    assert "Set A *" in page
    assert "images like those of near_a (*): no average counts them. The decision," in page
    for heading in ("Decision", "Precision in use", "Scores"):
        assert _section_of(page, heading) == _section_of(without, heading)


def _section_of(page: str, heading: str) -> str:
    return page.split(f"<h2>{heading}</h2>")[1].split("</section>")[0]


class Page(HTMLParser):
    """A page taken apart; it fails on an element that does not end, or ends out of turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.headings: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag != "meta":
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("th", "td"):
            self.tables[-1][-1].append("")
        if tag in ("h1", "h2", "h3"):
            self.headings.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        data = data.replace("\xa0", " ")
        self.text += data
        if "td" in self.open or "th" in self.open:
            cell = self.tables[-1][-1]
            cell[-1] = f"{cell[-1]} {data}".strip()
        if self.open and self.open[-1] in ("h1", "h2", "h3"):
            self.headings[-1] += data

    def table(self, *heading: str) -> list[list[str]]:
        """Returns the rows of the table with this heading."""
        (table,) = [table for table in self.tables if table[0] == list(heading)]
        return table[1:]


def drawings(page: str) -> list[ElementTree.Element]:
    page = page.replace("\xa0", " ")
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]


# -- its form --------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_a_page_of_every_rule_is_well_formed_and_says_all_of_it(rule, pack):
    page = Page(page_of(made(pack, rule), pack, link=LINK))
    sections = ["Decision", "Threshold", "Scores", "OOD sets", "Precision in use", "Settings"]
    sections += ["Origin", "What this does not say", "Open this view"]
    assert page.headings[0] == "MoG on samples"
    assert [heading for heading in page.headings[1:] if heading in sections] == sections
    assert rule.title in page.text
    assert rule.summary in page.text
    assert (rule.guarantee or "None: this rule promises nothing of new inputs.") in page.text
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))


def test_the_drawings_are_xml_that_names_itself(pack):
    found = drawings(page_of(made(pack), pack))
    assert len(found) == 3  # ID, near, far
    for svg, group in zip(found, ("ID", "near", "far"), strict=True):
        named = svg.attrib["aria-labelledby"].split()
        assert [svg[0].tag, svg[1].tag] == ["title", "desc"]
        assert [child.attrib["id"] for child in svg[:2]] == named
        assert svg[1].text.startswith("A histogram of ")
        assert svg.find("path").attrib["class"] == f"bars group-{group}"
        assert svg.find("rect").attrib["class"] == "band"


def test_every_header_cell_says_what_it_heads(pack):
    page = Page(page_of(made(pack), pack))
    scopes = [value for tag, name, value in page.attributes if (tag, name) == ("th", "scope")]
    assert len(scopes) == page.names.count("th")
    assert set(scopes) == {"row", "col"}


def test_nothing_is_fetched_and_no_script_runs(pack):
    text = page_of(made(pack), pack, link=LINK)
    page = Page(text)
    assert "script" not in page.names
    assert [name for _, name, _ in page.attributes if name in ("src", "srcset", "data")] == []
    assert [name for _, name, _ in page.attributes if name.startswith("on")] == []
    assert [value for _, name, value in page.attributes if name == "href"] == [LINK]
    assert "url(" not in text
    assert "@import" not in text
    assert re.findall(r"https?:", text.replace(LINK.replace("&", "&amp;"), "")) == []
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    assert ("meta", "content", policy) in page.attributes


def test_it_is_light_dark_and_prints(pack):
    assert all(f"--{group}: {colour};" in STYLE for group, colour in COLOURS.items())
    assert "@media screen and (prefers-color-scheme: dark)" in STYLE
    assert "break-inside: avoid" in STYLE.partition("@media print")[2]


def test_hostile_texts_are_texts(train, far):
    card = {"title": HOSTILE, "classes": [HOSTILE] * 4}
    card["sets"] = {name: {"title": HOSTILE} for name in ("test", "far_b")}
    pack = Pack(train, with_views(*clusters(400, 30)), {("far", "b"): far}, type(extra())(), card)
    rule = PerClassConformal(0.7)
    bundle = replace(
        made(pack, rule), preset=HOSTILE, pack_title=HOSTILE, created=HOSTILE, code_version="\ud800"
    )
    text = page_of(bundle, pack, link=f'{LINK}"><script>', notes=[HOSTILE])
    page = Page(text)
    assert {"script", "img"}.isdisjoint(page.names)
    assert text.count("</style>") == 1
    shown = "</style><script>alert('1')</script><img src=x onerror=\"alert(2)\">&amp;[31m"
    assert page.headings[0] == f"MoG on {shown}"
    assert page.text.count(shown) >= 10
    assert ("a", "href", f'{LINK}"><script>') in page.attributes
    assert len(drawings(text)) == 2
    assert "heat-dashboard ?" in text
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", text)
    text.encode()


# -- its figures -----------------------------------------------------------------------------------


def test_the_figures_of_every_set_are_those_of_the_library(pack):
    bundle = made(pack)
    scores = score_pack(pack, bundle.score)
    rows = Page(page_of(bundle, pack)).table("Set", "Rows", "Caught", "FPR95", "AUROC")
    expected = []
    for title, (group, name) in zip(("Set A", "Set B"), pack.ood, strict=True):
        values = scores[f"{group}_{name}"]
        figures = separation(scores.test, values)
        caught = bundle.decision.assessment.caught_by_set[group][name]
        assert caught.share == np.mean(values > bundle.decision.threshold)
        low, high = (100 * bound for bound in caught.interval())
        lowest, highest = (100 * bound for bound in figures.interval)
        expected.append(
            [
                f"{title} {group}",
                f"{len(values):,}",
                f"{100 * caught.share:.1f} % {low:.1f} to {high:.1f} %",
                f"{100 * figures.fpr95:.1f} %",
                f"{100 * figures.auroc:.1f} % {lowest:.1f} to {highest:.1f} %",
            ]
        )
    assert rows == expected


def test_precision_is_that_of_counting_a_thousand_inputs(pack):
    bundle = made(pack)
    assessment = bundle.decision.assessment
    sets = assessment.caught_by_set
    caught = (sets["near"]["a"].share + sets["far"]["b"].share) / 2
    flagged = 1 - assessment.kept.share
    assert 0 < flagged < caught
    heading = ("OOD among inputs", "Precision", "Flagged", "OOD caught", "ID flagged", "OOD missed")
    rows = Page(page_of(bundle, pack)).table(*heading)
    for row, percent in zip(rows, (1, 5, 10, 50), strict=True):
        true, false = 10 * percent * caught, 10 * (100 - percent) * flagged
        missed = 10 * percent - true
        counts = [f"{count:,.0f}" for count in (true + false, true, false, missed)]
        assert row == [f"{percent} %", f"{100 * true / (true + false):.1f} %", *counts]


def test_the_decision_is_one_sentence_with_its_threshold_and_shares(pack):
    bundle = made(pack)
    decision = bundle.decision
    page = Page(page_of(bundle, pack))
    low, high = decision.interval
    flagged = 100 * (1 - decision.assessment.kept.share)
    sentence = f"its score is above {decision.threshold:.6g}: so it flags {flagged:.1f} % of "
    assert sentence in page.text
    assert f"{decision.threshold:.6g}; 95 % interval {low:.6g} to {high:.6g}" in page.text
    assert decision.assessment.remark in page.text
    assert f"The scores of {decision.n_calibration} ID test rows, half of all." in page.text
    low, high = (100 * share for share in Conformal(0.9).kept_interval(200))
    assert f"chosen on 200 scores, it is {low:.1f} to {high:.1f} % in 95 of 100" in page.text


def test_settings_hashes_and_dates_are_those_of_the_bundle(pack, tmp_path):
    save_bundle(made(pack), tmp_path / "bundle")
    bundle = load_bundle(tmp_path / "bundle")
    page = Page(page_of(bundle, pack))
    rows = {row[0]: row[1] for table in page.tables for row in table if len(row) == 2}
    assert rows["SHA-256 of the data's arrays"] == bundle.pack_sha256
    for name in ("run.json", "energy.safetensors", "calibration.safetensors"):
        content = (tmp_path / "bundle" / name).read_bytes()
        assert rows[f"SHA-256 of {name}"] == hashlib.sha256(content).hexdigest()
    assert rows["Bundle made"].startswith(bundle.created[:10])
    assert rows["Report made"].startswith("2026-01-02 03:04 UTC, by heat-dashboard ")
    assert (rows["normalize"], rows["share"], rows["preset"], rows["seed"]) == (
        *("yes", "0.9", "modern"),
        "0",
    )


def test_parts_of_a_detector_have_tables_of_their_own(pack):
    detector = WeightedSumOf((OfView("std", MoG()), KNN(k=5)), (0.5, 2.0))
    bundle = bundle_of(fitted(detector, pack.train), pack, Conformal(0.9))
    page = Page(page_of(bundle, pack))
    parts = ["detectors 1: OfView", "detector: MoG", "detectors 2: KNN"]
    assert [heading for heading in page.headings if heading in parts] == parts
    rows = [row for table in page.tables for row in table]
    assert ["weights", "0.5, 2"] in rows
    assert ["k", "5"] in rows


# -- what not every bundle has ---------------------------------------------------------------------


def test_a_threshold_for_each_class(pack):
    bundle = made(pack, PerClassConformal(0.7))
    text = page_of(bundle, pack)
    page = Page(text)
    thresholds = sorted(bundle.decision.by_class.items())
    assert [[str(label), f"{t:.6g}"] for label, t in thresholds] in page.tables
    assert "above the threshold of the class that it is taken for" in page.text
    assert all("threshold 0" in "".join(svg.itertext()) for svg in drawings(text))
    assert "score less its class's threshold" in page.text
    margin = bundle.decide(pack.test)
    above = f"{100 * margin.is_ood.mean():.1f} % are above the threshold, 0."
    assert above in drawings(text)[0][1].text


def test_scores_without_ood_sets(pack):
    bundle = made(pack)
    scores = SetScores({"test": bundle.score(pack.test)})
    text = page_of(bundle, pack, scores)
    page = Page(text)
    assert len(drawings(text)) == 1
    assert "how many others it catches was not tested." in page.text
    assert "how much OOD is caught was not tested" in page.text
    assert "whether anything unusual is caught is not known" in page.text


@pytest.mark.parametrize("rule", [RecallAtLeast(0.5, 0.9), ByHand(2.0)])
def test_a_rule_without_an_interval(rule, pack):
    text = page_of(made(pack, rule), pack)
    assert "this rule gives it no interval" in text
    assert all(svg.find("rect") is None for svg in drawings(text))


def test_sets_that_the_rule_read_are_judged_by_their_other_half(pack):
    bundle = made(pack, Youden())
    page = Page(page_of(bundle, pack))
    rows = page.table("Set", "Rows", "Caught", "FPR95", "AUROC")
    assert [row[1] for row in rows] == ["120 60 judged", "50 25 judged"]
    assert "ID test rows, half of all, and of half of Set A, Set B." in page.text
    assert "chosen with the help of OOD sets" in page.text


def test_a_link_is_left_out_where_there_is_none(pack):
    page = Page(page_of(made(pack), pack))
    assert "a" not in page.names
    assert "Open this view" not in page.headings


# -- what does not fit -----------------------------------------------------------------------------


def test_another_pack_other_scores_and_no_address_are_refused(pack):
    bundle = made(pack)
    scores = score_pack(pack, bundle.score)
    other = replace(pack, test=with_views(*clusters(400, 77)))
    with pytest.raises(ValueError, match="the bundle was made of another pack: samples"):
        html_report(bundle, other, scores)
    for wrong in (
        score_pack(pack, fitted(KNN(k=5), pack.train).score),
        SetScores({"test": scores.test[:100]}),
        SetScores({"test": scores.test, "val": scores.test}),
    ):
        with pytest.raises(ValueError, match="the scores are not those that MoG gave"):
            html_report(bundle, pack, wrong)
    read = made(pack, Youden())
    with pytest.raises(ValueError, match="the scores are not those that MoG gave"):
        html_report(read, pack, SetScores({"test": scores.test}))
    with pytest.raises(ValueError, match="the link must begin with https:// or http://, got javas"):
        html_report(bundle, pack, scores, link="javascript:alert(1)")


# -- histograms ------------------------------------------------------------------------------------


def test_far_outliers_leave_the_axis_to_the_others():
    values = np.concatenate([np.linspace(0, 1, 990), np.full(10, 1e6)])
    edges = bin_edges({"ID": values}, 0.9, count=20)
    assert edges[-1] == pytest.approx(0.985, abs=0.01)
    assert bar_shares(values, edges).sum() == pytest.approx(1)
    assert bar_shares(values, edges)[-1] > 0.01


def test_id_is_no_single_bar_where_ood_scores_are_a_million_times_as_large():
    inside = np.random.default_rng(0).normal(100, 10, 1000)
    by_group = {"ID": inside, "far": np.geomspace(1e6, 1e9, 500)}
    threshold = float(np.quantile(inside, 0.95))
    edges = bin_edges(by_group, threshold)
    shares = bar_shares(inside, edges)
    assert np.count_nonzero(shares) >= 10
    assert shares.max() < 0.3
    drawing = Histogram("ID", "t", "d", inside, edges, "score", threshold)
    svg = ElementTree.fromstring(drawing.svg())
    line = next(part for part in svg.iter("line") if part.attrib.get("class") == "threshold")
    assert 60 < float(line.attrib["x1"]) < 300  # not at an edge
    assert "1e+06" in "".join(svg.itertext())


@pytest.mark.parametrize("values", [[2.0, 2.0, 2.0], [-1e12, 1e12], [0.0, 1e-9]])
def test_any_scores_can_be_drawn(values):
    scores = np.array(values)
    edges = bin_edges({"ID": scores}, float(scores[0]), count=10)
    drawing = Histogram("ID", "t", "d", scores, edges, "score", float(scores[0]), (-1e30, 1e30))
    svg = ElementTree.fromstring(drawing.svg())
    numbers = [float(number) for number in re.findall(r"[\d.]+", svg.find("path").attrib["d"])]
    assert len(numbers) == 2 + 2 * 10 + 1
    assert all(20 <= number <= 350 for number in numbers)
    band = svg.find("rect").attrib
    assert (float(band["x"]), float(band["width"])) == (38, 312)


# -- the command -----------------------------------------------------------------------------------


@pytest.fixture
def paths(pack: Pack, tmp_path: Path) -> tuple[str, str]:
    """The folders of a bundle and of its pack."""
    write_pack(pack, tmp_path / "pack")
    save_bundle(made(read_pack(tmp_path / "pack")), tmp_path / "bundle")
    return str(tmp_path / "bundle"), str(tmp_path / "pack")


def test_the_command_writes_the_page_once(paths, tmp_path, capsys):
    out = tmp_path / "new" / "out.html"
    words = ["report", *paths, "--html", str(out), "--link", LINK]
    assert main(words) == 0
    assert capsys.readouterr().out == f"{out}: MoG with its decision, to read and to print.\n"
    page = Page(out.read_text(encoding="utf-8"))
    assert page.headings[0] == "MoG on samples"
    assert ("a", "href", LINK) in page.attributes
    assert main(words) == 2
    assert "exists already; --overwrite replaces it" in capsys.readouterr().err
    assert main(["report", "--html", str(out), "--overwrite", *paths]) == 0


def test_what_does_not_go_together_is_refused_in_a_line(paths, tmp_path, capsys):
    bundle, pack = paths
    out = str(tmp_path / "out.html")
    for words, reason in (
        ([bundle, "--html", out], f"got {bundle} alone"),
        ([bundle, pack], "--html is missing"),
        ([bundle], "--html is missing"),
        ([pack, "--link", LINK], "--html is missing"),
        ([pack, bundle, "--html", out], f"the bundle first; {pack} is a pack"),
        ([bundle, pack, "--html", out, "--no-plane"], "are of the Markdown page"),
        ([bundle, pack, "--html", out, "--seeds", "2"], "are of the Markdown page"),
        ([bundle, pack, "--html", f"{out}.pdf"], "--html must end in .html"),
        ([bundle, pack, "--html", out, "--link", "ftp://a"], "must begin with https://"),
    ):
        assert main(["report", *words]) == 2
        output = capsys.readouterr()
        assert output.out == ""
        assert reason in output.err
        assert output.err.count("\n") == 1
        assert not Path(out).exists()
