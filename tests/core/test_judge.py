"""An image of one's own: judged as the pack's images are, or refused in one line."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from heat_core.__main__ import main
from heat_core.bundles import bundle_of, save_bundle
from heat_core.detectors.closed_form import SSD
from heat_core.detectors.composed import Composed
from heat_core.detectors.presets import supported_detectors
from heat_core.images import classifier, datasets
from heat_core.images.classifier import Architecture
from heat_core.judge import Judge, ScoredRun, classifier_file
from heat_core.metrics import percentile, threshold_keeping
from heat_core.pack import Pack, read_pack
from heat_core.run import fit
from heat_core.thresholds import Conformal

NAMES = ("MSP", "ODIN", "Energy", "KNN", "SSD", "MoG")


@pytest.fixture(scope="module")
def place(noise_pack: Path) -> Path:
    return noise_pack


@pytest.fixture(scope="module")
def pack(place: Path) -> Pack:
    return read_pack(place)


@pytest.fixture(scope="module")
def known(pack: Pack) -> dict[str, ScoredRun]:
    return {
        name: ScoredRun.of(fit(recipe, pack.train), pack)
        for name, recipe in supported_detectors(pack, names=NAMES)[0].items()
    }


def test_an_image_of_the_pack_gets_the_score_it_has_there(
    place: Path, pack: Pack, known: dict[str, ScoredRun], sheets: Path
) -> None:
    assert pack.test.index is not None
    row = 17
    pixels = datasets.read_images("cifar10", [sheets], "test").pixels[int(pack.test.index[row])]
    opinion = Judge(pack, classifier_file(place))(pixels, known, share=0.9)
    assert [verdict.detector for verdict in opinion.verdicts] == list(NAMES)
    for verdict in opinion.verdicts:
        run = known[verdict.detector].run
        inside = run.score(pack.test)
        assert verdict.score == pytest.approx(inside[row], rel=1e-3, abs=1e-3)
        assert verdict.percentile == percentile(inside, [verdict.score])[0]
        assert verdict.threshold == threshold_keeping(run.score(pack.calibration), 0.9)
        assert verdict.out == (verdict.score > verdict.threshold)
    assert opinion.predicted in pack.card["classes"]
    assert 0.1 <= opinion.probability <= 1


@pytest.fixture(scope="module")
def mirrored(place: Path, sheets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pack with the mirror and an earlier layer, by the command."""
    out = tmp_path_factory.mktemp("packs") / "mirrored"
    command = ["extract", "--weights", str(classifier_file(place)), "--root", str(sheets)]
    rows = ["--train-rows", "100", "--test-rows", "60", "--ood-rows", "20", "--pseudo-rows", "0,0"]
    assert main([*command, *rows, "--ood", "mnist", "--out", str(out)]) == 0
    shutil.copy(classifier_file(place), classifier_file(out))
    return out


def test_an_image_and_its_mirror_image_get_the_score_that_it_has_in_a_mirrored_pack(
    mirrored: Path, sheets: Path
) -> None:
    pack = read_pack(mirrored)
    assert pack.is_mirrored
    assert pack.test.index is not None
    early = Composed(w_mog=0, w_energy=0, w_knn=0, w_early_layer=1)
    detectors = {**supported_detectors(pack, names=NAMES)[0], "early": early}
    runs = {name: ScoredRun.of(fit(one, pack.train), pack) for name, one in detectors.items()}
    judge = Judge(pack, classifier_file(mirrored))
    images = datasets.read_images("cifar10", [sheets], "test")
    pixels = images.pixels[pack.test.index.numpy()]
    one_pass = Judge(_without_the_mirror(pack), classifier_file(mirrored))
    differences = []
    for row in (3, 17, 44):
        here, flipped = judge(pixels[row], runs), judge(pixels[row][:, ::-1].copy(), runs)
        without = one_pass(pixels[row], runs)
        for verdict, other, single in zip(
            here.verdicts, flipped.verdicts, without.verdicts, strict=True
        ):
            score = runs[verdict.detector].test_scores[row]
            assert verdict.score == pytest.approx(score, rel=1e-3, abs=1e-3)
            assert other.score == pytest.approx(verdict.score, rel=1e-5, abs=1e-5)
            differences.append(abs(single.score - score))
    assert max(differences) > 0.1  # so that the pass that is missing would show


def _without_the_mirror(pack: Pack) -> Pack:
    classifier = {**pack.card["classifier"], "mirror": False}
    return replace(pack, card={**pack.card, "classifier": classifier})


def test_verdicts_by_a_mirrored_pack_say_that_they_take_two_passes(
    mirrored: Path, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "fine.png")
    for pack, passes in ((place, 0), (mirrored, 1)):
        command = ["score-image", str(tmp_path / "fine.png"), "--pack", str(pack), "--json"]
        capsys.readouterr()
        assert main([*command, "--detectors", "KNN"]) == 0
        said = capsys.readouterr()
        assert said.err.count("Scores take two passes") == passes
        assert len(json.loads(said.out)) == 1


def test_an_earlier_layer_that_the_card_does_not_name_is_asked_for(mirrored: Path) -> None:
    pack = read_pack(mirrored)
    classifier = {**pack.card["classifier"]}
    del classifier["early"]
    with pytest.raises(ValueError, match=r"view early, and no moments .* \(the card names none\)"):
        Judge(
            replace(pack, card={**pack.card, "classifier": classifier}), classifier_file(mirrored)
        )


def test_another_network_is_refused(pack: Pack, tmp_path: Path) -> None:
    architecture = Architecture("resnet18", layers=(1, 1, 1, 1), channels=(16, 16, 16, 16))
    classifier.save(architecture.build(), architecture, tmp_path / "other.safetensors", {})
    with pytest.raises(
        ValueError, match=r"other.safetensors is not the network that .* was extracted with"
    ):
        Judge(pack, tmp_path / "other.safetensors")


def test_without_a_head_there_is_no_class(place: Path, pack: Pack) -> None:
    headless = replace(pack, train=replace(pack.train, head=None))
    with pytest.raises(ValueError, match="the pack has no head"):
        Judge(headless, classifier_file(place))


def test_the_command_judges_images_of_any_kind(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("CMYK", (90, 40), (10, 60, 90, 0)).save(tmp_path / "a.jpg")
    Image.new("RGB", (1, 1), "red").save(tmp_path / "b.png")
    images = [str(tmp_path / "a.jpg"), str(tmp_path / "b.png")]
    assert (
        main(
            [
                "score-image",
                *images,
                "--pack",
                str(place),
                "--detectors",
                "MSP,ODIN,KNN",
                "--json",
            ]
        )
        == 0
    )
    told = json.loads(capsys.readouterr().out)
    assert [entry["picture"] for entry in told] == images
    for entry in told:
        assert [verdict["detector"] for verdict in entry["verdicts"]] == ["MSP", "ODIN", "KNN"]
        assert all(
            verdict["out"] == (verdict["score"] > verdict["threshold"])
            for verdict in entry["verdicts"]
        )
    assert main(["score-image", *images, "--pack", str(place), "--detectors", "KNN"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{images[0]}: c")
    assert "of ID test" in lines[1]
    assert len(lines) == 4


def test_a_detector_that_fails_leaves_the_verdicts_of_the_others(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fit_or_fail(detector, *arguments, **options):
        if detector == SSD():
            raise ValueError("no room.")
        return fit(detector, *arguments, **options)

    monkeypatch.setattr("heat_core.run.fit", fit_or_fail)
    Image.new("RGB", (4, 4)).save(tmp_path / "fine.png")
    command = ["score-image", str(tmp_path / "fine.png"), "--pack", str(place), "--json"]
    assert main([*command, "--detectors", "MSP,SSD,KNN"]) == 3
    said = capsys.readouterr()
    (entry,) = json.loads(said.out)
    assert [verdict["detector"] for verdict in entry["verdicts"]] == ["MSP", "KNN"]
    assert said.err == "heat_core score-image: failed: SSD (no room)\n"
    assert main([*command, "--detectors", "SSD"]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "heat_core score-image: failed: SSD (no room)\n")


def test_what_cannot_be_judged_ends_in_one_line(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "words.png").write_text("no image")
    Image.new("RGB", (4, 4)).save(tmp_path / "fine.png")
    for arguments, word in (
        ([tmp_path / "words.png", "--pack", place], "words.png: not an image"),
        ([tmp_path / "none.png", "--pack", place], "none.png"),
        ([tmp_path / "fine.png", "--pack", tmp_path], "is not a pack"),
        (
            [tmp_path / "fine.png", "--pack", place, "--weights", tmp_path / "none.safetensors"],
            "none.safetensors",
        ),
        ([tmp_path / "fine.png", "--pack", place, "--keep", "0"], "--keep: wanted percent"),
    ):
        assert main(["score-image", *map(str, arguments), "--detectors", "KNN"]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert len(said.err.splitlines()) == 1
        assert word in said.err


def test_a_service_answers_for_an_image_what_its_bundle_says_of_the_pack(
    place: Path,
    pack: Pack,
    known: dict[str, ScoredRun],
    sheets: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bundle = bundle_of(known["MSP"].run, pack, Conformal(0.9))
    save_bundle(bundle, tmp_path / "bundle")
    assert pack.test.index is not None
    pixels = datasets.read_images("cifar10", [sheets], "test").pixels[int(pack.test.index[17])]
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    answers = []

    def answer_one(server: Any, sockets: list[Any]) -> None:
        with TestClient(server.config.app) as client:
            headers = {"content-type": "image/png"}
            answers.append(client.post("/score", content=content.getvalue(), headers=headers))
        raise KeyboardInterrupt

    monkeypatch.setattr("uvicorn.Server.run", answer_one)
    command = ["serve", str(tmp_path / "bundle"), "--port", "0", "--images", str(place)]
    assert main(command) == 0
    assert capsys.readouterr().out.startswith("MSP answers at http://127.0.0.1:")
    (row,) = answers[0].json()["rows"]
    decisions = bundle.decide(pack.test.take(torch.tensor([17])))
    assert row["score"] == pytest.approx(decisions.scores[0], rel=1e-3, abs=1e-3)
    assert row["threshold"] == decisions.thresholds[0]
    assert row["predicted"] == decisions.predicted[0]
    another = tmp_path / "another.safetensors"
    other = Architecture("resnet18", layers=(1, 1, 1, 1), channels=(8, 8, 8, 8))
    classifier.save(other.build(), other, another, {})
    assert main([*command, "--weights", str(another)]) == 2
    assert "is not the network that" in capsys.readouterr().err
