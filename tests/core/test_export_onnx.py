"""Exported graphs decide as the library does, for every energy; what is no row is called out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import heat_core.energies
from heat_core.__main__ import main
from heat_core.bundles import Bundle, bundle_of, save_bundle
from heat_core.detectors.closed_form import KNN, MSP, ODIN, EnergyLogits
from heat_core.detectors.composed import Composed
from heat_core.detectors.detector import Detector
from heat_core.detectors.distances import FDBD, NCI, SHE, NNGuide
from heat_core.detectors.gaussians import RMD, ClassMoG, RadialMahalanobis
from heat_core.detectors.heat import EBM, HEAT
from heat_core.detectors.logits import GEN, KLM, MaxLogit
from heat_core.detectors.rectified import ASH, DICE, SCALE, ReAct
from heat_core.detectors.subspaces import NECO, ViM
from heat_core.detectors.weighted_sum import WeightedSumOf
from heat_core.energies import Energy
from heat_core.export import export_onnx
from heat_core.features import Features
from heat_core.images import datasets
from heat_core.images.extract import extract
from heat_core.judge import Judge, classifier_file
from heat_core.pack import NO_EXTRA, Pack, read_pack
from heat_core.run import fit
from heat_core.thresholds import Conformal, PerClassConformal, p_values
from tests.core.recipes import CRITIC, WAVES, fitted
from tests.samples import clusters, with_views

ROOT = Path(__file__).parents[2]

# An export takes seconds, so energies of one kind are added up, each in its own deviations.
OF_LOGITS = (MSP(), EnergyLogits(2.0), MaxLogit(), GEN(), KLM(), SHE(), DICE(percentile=50))
OF_CHANGED = (ReAct(percentile=90), SCALE(percentile=85), ASH(percentile=65))
OF_GEOMETRY = (FDBD(), NCI(alpha=0.01), NECO(), ViM(principal=4), NNGuide(k=5))
OF_GAUSSIANS = (RMD(), RadialMahalanobis(beta=0.5), ClassMoG())
ENSEMBLE = EBM(learner=replace(WAVES, network_count=2))
DETECTORS: dict[str, Detector] = {
    "KNN": KNN(k=5),
    "logits": WeightedSumOf((*OF_LOGITS, *OF_CHANGED)),
    "distances": WeightedSumOf((*OF_GEOMETRY, *OF_GAUSSIANS)),
    "learned": WeightedSumOf((ODIN(), HEAT(correction=CRITIC), ENSEMBLE), (0.5, 2.0, 1), beta=2.0),
}
BASES = {"Aggregate", "Energy", "Gaussians", "Logits"}
IN_NO_DETECTOR = {"Whitened"}  # chains of samplers run in it


@pytest.fixture(scope="module")
def pack(train: Features, far: Features) -> Pack:
    return Pack(train, with_views(*clusters(400, 30)), {("far", "b"): far}, NO_EXTRA, {})


Exported = tuple[Bundle, onnxruntime.InferenceSession, Path]


@pytest.fixture(scope="module")
def exported(pack: Pack, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    """Returns the bundle of a detector, its graph, and its folder: each exported once."""
    known: dict[str, Exported] = {}

    def export(name: str) -> Exported:
        if name not in known:
            rule = PerClassConformal(0.7) if name == "logits" else Conformal(0.9)
            bundle = bundle_of(fitted(DETECTORS[name], pack.train), pack, rule)
            folder = tmp_path_factory.mktemp("graphs") / name
            export_onnx(bundle, folder)
            known[name] = bundle, session_of(folder), folder
        return known[name]

    return export


def session_of(folder: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it says at length that inputs have defaults
    return onnxruntime.InferenceSession(folder / "model.onnx", options)


def arrays_of(session: onnxruntime.InferenceSession, features: Features) -> dict[str, Any]:
    """Returns what a graph takes of features, in its precision."""
    arrays = {}
    for each in session.get_inputs():
        view = features.z if each.name == "z" else features.views[each.name.removeprefix("z__")]
        arrays[each.name] = view.numpy().astype(np.float32 if "float" in each.type else np.float64)
    return arrays


def decided(session: onnxruntime.InferenceSession, arrays: dict[str, Any]) -> dict[str, np.ndarray]:
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, arrays), strict=True))


def check_decisions(
    found: dict[str, np.ndarray], bundle: Bundle, features: Features, tolerance: float = 1e-4
) -> None:
    wanted = bundle.decide(features)
    std = bundle.calibration.inside.std()
    np.testing.assert_allclose(
        found["score"], wanted.scores, rtol=tolerance, atol=0.1 * tolerance * std
    )
    n = len(bundle.calibration.inside) + 1
    step = 1.5 / n if not bundle.decision.by_class else 0.05  # a rank, where scores are as near
    np.testing.assert_allclose(found["p_value"], wanted.p_values, atol=step)
    np.testing.assert_array_equal(found["threshold"], wanted.thresholds)
    near = np.abs(wanted.scores - wanted.thresholds) < tolerance * std
    np.testing.assert_array_equal(found["is_ood"][~near], wanted.is_ood[~near])
    np.testing.assert_array_equal(found["predicted"], wanted.predicted)


def test_the_detectors_that_are_tried_have_every_energy(pack: Pack) -> None:
    public = {name: getattr(heat_core.energies, name) for name in heat_core.energies.__all__}
    wanted = {
        name for name, each in public.items() if isinstance(each, type) and issubclass(each, Energy)
    }
    tried = {
        type(module).__name__
        for detector in DETECTORS.values()
        for module in fitted(detector, pack.train).energy.modules()
    }
    assert wanted - tried == BASES | IN_NO_DETECTOR


@pytest.mark.parametrize("name", DETECTORS)
def test_decisions_are_those_of_the_library_for_any_number_of_rows(exported, pack, name) -> None:
    bundle, session, _ = exported(name)
    for rows in (1, 7, 50):
        for features in (pack.test, pack.ood["far", "b"]):
            some = features.take(torch.arange(rows))
            check_decisions(decided(session, arrays_of(session, some)), bundle, some)


@pytest.mark.parametrize("name", DETECTORS)
def test_odd_rows_get_the_score_of_the_library_or_are_called_out(exported, pack, name) -> None:
    bundle, session, _ = exported(name)
    features = odd_rows(bundle)
    found = decided(session, arrays_of(session, features))
    scores = bundle.score(features)
    finite = np.isfinite(scores)
    known = ~np.isnan(found["threshold"])  # a class may have none
    assert list(np.isnan(found["score"])) == list(~(finite & known))
    std = bundle.calibration.inside.std()
    np.testing.assert_allclose(
        found["score"][finite & known], scores[finite & known], rtol=1e-4, atol=1e-4 * std
    )
    assert found["is_ood"][~finite].all()


def odd_rows(bundle: Bundle) -> Features:
    """Returns zeros, denormals, huge and negative rows."""
    values = torch.tensor([0.0, 1e-40, 1e12, -1.0])[:, None]
    views = {name: values.repeat(1, width) for name, width in bundle.shape.views.items()}
    return Features(values.repeat(1, bundle.shape.dim), views=views)


@pytest.mark.parametrize("name", ["KNN", "logits", "learned"])
def test_a_row_that_is_none_is_called_out_and_leaves_others_alone(exported, pack, name) -> None:
    _, session, _ = exported(name)
    features = pack.test.take(torch.arange(6))
    sound = decided(session, arrays_of(session, features))
    for key in arrays_of(session, features):
        arrays = arrays_of(session, features)
        for row, value in enumerate((np.nan, np.inf, -np.inf, 2e15)):
            arrays[key][row, -1] = value
        found = decided(session, arrays)
        assert np.isnan(found["score"][:4]).all()
        assert found["is_ood"][:4].all()
        assert found["p_value"][:4].tolist() == [0.0] * 4
        assert found["predicted"][:4].tolist() == [-1] * 4
        for name, values in sound.items():
            np.testing.assert_array_equal(found[name][4:], values[4:])


@pytest.mark.parametrize(
    "z",
    [
        np.ones((2, 3), np.float32),
        np.ones(12, np.float32),
        np.ones((2, 12)),
        np.ones((2, 12), np.float16),
        np.ones((2, 12), np.int64),
        np.ones((2, 12), bool),
    ],
)
def test_another_width_or_dtype_is_refused(exported, z) -> None:
    _, session, _ = exported("KNN")
    with pytest.raises(Exception, match=r"INVALID_ARGUMENT|Unexpected input data type"):
        session.run(None, {"z": z})


def test_no_rows_give_no_decisions(exported) -> None:
    _, session, _ = exported("KNN")
    found = decided(session, {"z": np.ones((0, 12), np.float32)})
    assert [values.shape for values in found.values()] == [(0,)] * 5


def test_threshold_and_calibration_scores_may_be_others(exported, pack) -> None:
    _, session, _ = exported("KNN")
    optional = {each.name for each in session.get_overridable_initializers()}
    assert optional == {"threshold_for_all", "calibration_scores"}
    arrays = arrays_of(session, pack.test)
    scores = decided(session, arrays)["score"]
    middle = float(np.median(scores))
    calibration = np.array([9.0, 0.0, middle])  # in no order
    found = decided(
        session,
        arrays | {"threshold_for_all": np.array(middle), "calibration_scores": calibration},
    )
    np.testing.assert_array_equal(found["score"], scores)
    np.testing.assert_array_equal(found["is_ood"], scores > middle)
    assert set(found["threshold"]) == {middle}
    np.testing.assert_allclose(found["p_value"], p_values(calibration, scores), rtol=1e-12)
    unset = decided(session, arrays | {"threshold_for_all": np.array(np.nan)})
    assert unset["is_ood"].all()


def test_thresholds_by_class_may_be_others_and_a_class_without_one_is_called_out(
    exported, pack
) -> None:
    bundle, session, _ = exported("logits")
    arrays = arrays_of(session, pack.test)
    sound = decided(session, arrays)
    without, raised = sorted(bundle.decision.by_class)  # the other two classes have none
    thresholds = np.full(4, np.nan)
    thresholds[raised] = np.inf
    found = decided(session, arrays | {"threshold_by_class": thresholds})
    predicted = bundle.decide(pack.test).predicted
    assert predicted is not None
    assert set(predicted) == set(bundle.decision.by_class)
    np.testing.assert_array_equal(found["predicted"], predicted)
    np.testing.assert_array_equal(found["threshold"], thresholds[predicted])
    called_out = predicted == without
    assert np.isnan(found["score"][called_out]).all()
    assert set(found["p_value"][called_out]) == {0.0}
    np.testing.assert_array_equal(
        found["is_ood"], called_out | (sound["is_ood"] & (predicted != raised))
    )
    for name in ("score", "p_value"):
        np.testing.assert_array_equal(found[name][~called_out], sound[name][~called_out])


def test_the_card_and_the_metadata_say_what_goes_in(exported) -> None:
    bundle, session, folder = exported("learned")
    card = json.loads((folder / "card.json").read_text())
    assert (card["detector"], card["rule"]) == ("ODIN + HEAT + EBM", "conformal")
    assert (card["format"], card["version"]) == ("heat-onnx", "1")
    assert card["threshold"] == bundle.decision.threshold
    assert card["pack"]["sha256"] == bundle.pack_sha256
    assert card["code_version"] == heat_core.__version__
    assert "score nan, p_value 0" in card["refused_rows"]
    assert 1 <= card["rows_at_a_time"] <= 2**21 // 200  # of as many calibration scores
    assert card["inputs"] == {
        "z": {"shape": ["rows", 12], "dtype": "float32"},
        "z__std": {"shape": ["rows", 12], "dtype": "float32"},
        "z__odin": {"shape": ["rows", 1], "dtype": "float32"},
    }
    assert list(card["inputs"]) == [each.name for each in session.get_inputs()]
    optional = [each.name for each in session.get_overridable_initializers()]
    assert list(card["optional_inputs"]) == optional
    metadata = session.get_modelmeta().custom_metadata_map
    assert set(metadata) == set(card)
    assert all(metadata[key] in (value, json.dumps(value)) for key, value in card.items())


def test_the_file_is_sound_and_names_no_place_of_the_machine(exported) -> None:
    _, _, folder = exported("learned")
    content = (folder / "model.onnx").read_bytes()
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    assert not [place for place in (b"site-packages", b".py", bytes(ROOT)) if place in content]


# -- what cannot be exported -----------------------------------------------------------------------


def test_a_graph_above_two_gibibytes_is_refused(exported, monkeypatch, tmp_path) -> None:
    bundle, _, _ = exported("KNN")
    bank = SimpleNamespace(const_value=SimpleNamespace(nbytes=3 * 2**30))
    program = SimpleNamespace(model=SimpleNamespace(graph=SimpleNamespace(initializers={"": bank})))
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: program)
    with pytest.raises(ValueError, match=r"would hold 3.0 GiB, and an ONNX file ends at 2 GiB"):
        export_onnx(bundle, tmp_path / "graph")
    assert not (tmp_path / "graph").exists()


def test_an_energy_that_counts_rows_is_refused(exported, monkeypatch, tmp_path) -> None:
    """Torch then makes, without a word, a graph for as many rows as it has seen."""
    bundle, _, folder = exported("KNN")
    proto = onnx.load(folder / "model.onnx")
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 7
    model = SimpleNamespace(graph=SimpleNamespace(initializers={}))
    program = SimpleNamespace(model=model, model_proto=proto)
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: program)
    with pytest.raises(ValueError, match="would take 7 rows and no other number"):
        export_onnx(bundle, tmp_path / "graph")


def test_what_torch_cannot_export_is_refused_in_one_line(exported, monkeypatch, tmp_path) -> None:
    def fail(*_: object, **__: object) -> None:
        reason = RuntimeError("No ONNX function found for aten.bessel.\nInputs: z")
        raise torch.onnx.OnnxExporterError("Failed.\nNext steps:\n- ...") from reason

    bundle, _, _ = exported("KNN")
    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(ValueError, match=r"cannot export KNN to ONNX: No ONNX .*bessel") as caught:
        export_onnx(bundle, tmp_path / "graph")
    assert "\n" not in str(caught.value)


# -- images ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mirrored(noise_pack: Path, sheets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack of noise, means over mirror images, with the views std and early."""
    out = tmp_path_factory.mktemp("packs") / "mirrored"
    words = ["extract", "--weights", str(classifier_file(noise_pack)), "--root", str(sheets)]
    words += ["--train-rows", "100", "--test-rows", "60", "--ood-rows", "20", "--ood", "mnist"]
    assert main([*words, "--pseudo-rows", "0,0", "--no-odin", "--out", str(out)]) == 0
    return out


def image_bundle(pack: Path, detector: Detector, folder: Path) -> Bundle:
    read = read_pack(pack)
    bundle = bundle_of(fit(detector, read.train), read, Conformal(0.8))
    save_bundle(bundle, folder)
    return bundle


def test_images_get_the_decisions_of_the_library(
    noise_pack: Path, mirrored: Path, sheets: Path, tmp_path: Path
) -> None:
    detector = Composed(w_knn=0.0, w_std_view=1.0, w_early_layer=1.0)
    bundle = image_bundle(mirrored, detector, tmp_path / "bundle")
    words = ["export", str(tmp_path / "bundle"), "--to", "onnx", "--images", str(mirrored)]
    words += ["--weights", str(classifier_file(noise_pack)), "--out", str(tmp_path / "graph")]
    assert main(words) == 0
    session = session_of(tmp_path / "graph")
    card = json.loads((tmp_path / "graph" / "card.json").read_text())
    assert card["inputs"] == {"pixels": {"shape": ["rows", 32, 32, 3], "dtype": "uint8"}}
    assert "largest centred square" in card["preprocessing"]
    assert "means over an image and its mirror image" in card["preprocessing"]
    assert "rounded to float16" in card["preprocessing"]
    images = datasets.read_images("cifar10", [sheets], "test")
    judge = Judge(read_pack(mirrored), classifier_file(noise_pack))
    for rows in (1, 9):
        features = extract(judge.extractor, images, np.arange(rows))
        pixels = images.pixels[:rows]
        # a feature in the middle of two of float16 may be rounded to the other
        check_decisions(decided(session, {"pixels": pixels}), bundle, features, 5e-3)
        flipped = decided(session, {"pixels": pixels[:, :, ::-1].copy()})
        check_decisions(flipped, bundle, features, 5e-3)
    nodes = onnx.load(tmp_path / "graph" / "model.onnx").graph.node
    assert sum(map(is_to_half, nodes)) == 2  # z and std, as the pack has them


def is_to_half(node: onnx.NodeProto) -> bool:
    return node.op_type == "Cast" and node.attribute[0].i == onnx.TensorProto.FLOAT16


def test_images_are_refused_where_the_graph_could_not_read_them(
    noise_pack: Path, mirrored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image_bundle(noise_pack, ODIN(), tmp_path / "odin")
    image_bundle(noise_pack, MSP(), tmp_path / "msp")
    weights = ["--weights", str(classifier_file(noise_pack))]
    for words, message in (
        (["odin", "--to", "onnx", "--images", str(noise_pack)], "odin, which takes a gradient"),
        (["msp", "--to", "onnx", "--images", str(mirrored), *weights], "made of another pack"),
        (["msp", "--to", "onnx", "--images", str(mirrored)], "no network at"),
        (["msp", "--to", "onnx", *weights], "--weights is for --images PACK"),
        (["msp", "--images", str(noise_pack)], "--images is for --to onnx"),
        (["msp", "--to", "onnx", "--out", "x.onnx"], "--out is a folder, for model.onnx"),
        (["msp", "--to", "onnx", "--out", str(tmp_path)], "exists already; --overwrite"),
        (["msp", "--to", "onnx", "--overwrite", "--out", str(tmp_path)], "is no exported bundle"),
    ):
        capsys.readouterr()
        out = ["--out", str(tmp_path / "out")]
        assert main(["export", str(tmp_path / words[0]), *out, *words[1:]]) == 2
        said = capsys.readouterr()
        assert message in said.err
        assert said.err.count("\n") == 1
        assert not (tmp_path / "out").exists()


def test_without_onnx_the_extra_is_named(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("heat_core.commands.shared.util.find_spec", lambda name: None)
    assert main(["export", "any", "--to", "onnx", "--out", str(tmp_path / "out")]) == 2
    assert "needs onnx; pip install 'heat-dashboard[onnx]'" in capsys.readouterr().err
