"""Features are what the head reads, whatever the batch; ODIN is its authors'."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from heat_core.energies import Energy, moments_of, on_sphere
from heat_core.features import Head
from heat_core.images import classifier
from heat_core.images.classifier import Architecture
from heat_core.images.datasets import Images
from heat_core.images.extract import (
    EarlyLayer,
    Extractor,
    extract,
    head_of,
    logits_difference,
    middle_stage,
    odin,
)
from tests.samples import colours

TINY = Architecture("resnet18", classes=3, layers=(1, 1, 1, 1), channels=(16, 16, 16, 16))


@pytest.fixture(scope="module")
def images() -> Images:
    return colours(48, 0)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    network = TINY.build()
    with torch.no_grad():  # timm begins every block's last normalisation at zero
        for name, parameter in network.named_parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape)) if "bn" in name else None
    return network.eval()


def _reads(network: nn.Module) -> Extractor:
    return Extractor(network, TINY, dtype=torch.float32)


def test_features_times_head_are_the_logits(network: nn.Module, images: Images) -> None:
    features, head = extract(_reads(network), images), head_of(network)
    assert head is not None
    with torch.inference_mode():
        logits = network(TINY.normalise(classifier.pixels_tensor(images)))
    assert torch.allclose(features.z @ head.weight.T + head.bias, logits, atol=1e-4)
    assert features.y is not None
    assert features.y.tolist() == images.labels.tolist()
    assert features.source == "colours/train"


def test_features_do_not_depend_on_the_batch(network: nn.Module, images: Images) -> None:
    one, other = (extract(_reads(network), images, batch=batch) for batch in (5, 48))
    assert torch.allclose(one.z, other.z, atol=1e-5)
    assert torch.allclose(one.views["std"], other.views["std"], atol=1e-5)


def test_chosen_rows_are_extracted_in_their_order(network: nn.Module, images: Images) -> None:
    rows = np.array([40, 3, 7])
    reports: list[int] = []
    some = extract(
        Extractor(network, TINY, std=False),
        images,
        rows,
        batch=2,
        on_batch=reports.append,
    )
    whole = extract(Extractor(network, TINY), images)
    assert torch.allclose(some.z, whole.z[rows], atol=1e-3)
    assert some.z.dtype == torch.float16
    assert not some.views
    assert some.index is not None
    assert some.index.tolist() == [40, 3, 7]
    assert reports == [2, 3]


def test_the_std_view_is_the_spread_of_the_last_map(network: nn.Module, images: Images) -> None:
    features = extract(_reads(network), images)
    with torch.inference_mode():
        last = network.forward_features(TINY.normalise(classifier.pixels_tensor(images)))  # type: ignore[operator]
    assert torch.allclose(features.z, last.mean((2, 3)), atol=1e-5)
    assert torch.allclose(features.views["std"], last.flatten(2).std(2, correction=0), atol=1e-5)


def test_a_network_without_a_linear_end_has_no_head(network: nn.Module) -> None:
    assert head_of(_Headless()) is None


class _Headless(nn.Module):
    def get_classifier(self) -> nn.Module:
        return nn.Identity()


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (1e6, r"z reaches [\d.e+]+, which float16 cannot hold .*; extract with --dtype float32"),
        (1e-7, r"z reaches [\d.e-]+, which float16 cannot hold"),
        (float("nan"), "resnet18 gives z that is not finite, for an image of finite pixels"),
    ],
)
def test_features_that_float16_cannot_hold_are_refused_and_float32_holds_them(
    factor: float, words: str, network: nn.Module, images: Images
) -> None:
    scaled = nn.Sequential()
    scaled.get_classifier = lambda: scaled.fc  # type: ignore[method-assign]
    scaled.add_module("features", _Scaled(network, factor))
    scaled.add_module("fc", nn.Linear(16, 3))
    with pytest.raises(ValueError, match=words):
        extract(Extractor(scaled, TINY), images)
    whole = Extractor(scaled, TINY, dtype=torch.float32)
    if factor != factor:
        with pytest.raises(ValueError, match="not finite"):
            extract(whole, images)
    else:
        wanted = factor * extract(_reads(network), images).z
        assert torch.allclose(extract(whole, images).z, wanted, rtol=1e-4)


class _Scaled(nn.Module):
    """The features of a network, times a factor."""

    def __init__(self, network: nn.Module, factor: float) -> None:
        super().__init__()
        self.network, self.factor = network, factor

    def forward(self, inputs: Tensor) -> Tensor:
        maps = self.network.forward_features(inputs)  # type: ignore[operator]
        return self.factor * maps.mean((2, 3))


def test_the_heads_logits_are_the_networks_own_or_their_difference_is_told(
    network: nn.Module, images: Images
) -> None:
    head = head_of(network)
    assert head is not None
    pixels = classifier.pixels_tensor(images)
    for dtype in (torch.float16, torch.float32):
        extractor = Extractor(network, TINY, odin=True, dtype=dtype)
        assert logits_difference(extractor, head, pixels) < 1e-3
    with torch.inference_mode():
        logits = network(TINY.normalise(pixels))
    other = Head(head.weight, head.bias + 1)
    wanted = 1 / float(logits.abs().max())
    assert logits_difference(_reads(network), other, pixels) == pytest.approx(wanted, rel=1e-3)


def test_odin_is_pytorch_oods(network: nn.Module, images: Images) -> None:
    import pytorch_ood

    inputs = TINY.normalise(classifier.pixels_tensor(images))
    other = pytorch_ood.detector.ODIN(
        network, temperature=1000, eps=0.0014, norm_std=list(TINY.std)
    )
    theirs = other.predict(inputs).detach().double()
    ours = odin(network, inputs, TINY.std)
    assert ours.std() > 1e-6
    assert torch.allclose(ours, theirs, atol=1e-7, rtol=0)  # float32 rounds at 3e-8 here
    perturbed = odin(network, inputs, TINY.std, epsilon=0.0)
    assert not torch.allclose(ours, perturbed, atol=1e-7, rtol=0)


def test_odin_comes_with_the_same_features(network: nn.Module, images: Images) -> None:
    plain = extract(_reads(network), images)
    both = extract(Extractor(network, TINY, odin=True, dtype=torch.float32), images, batch=7)
    assert torch.allclose(both.z, plain.z, atol=1e-5)
    assert torch.allclose(both.views["std"], plain.views["std"], atol=1e-5)
    wanted = odin(network, TINY.normalise(classifier.pixels_tensor(images)), TINY.std)
    assert both.views["odin"].shape == (48, 1)
    assert torch.allclose(both.views["odin"][:, 0], wanted, atol=1e-8)


def test_any_layer_can_be_read(network: nn.Module, images: Images) -> None:
    features = extract(Extractor(network, TINY, layer="layer2", dtype=torch.float32), images)
    inputs = TINY.normalise(classifier.pixels_tensor(images))
    with torch.inference_mode():
        early = network.layer1(network.act1(network.bn1(network.conv1(inputs))))  # type: ignore[operator]
        output = network.layer2(early)  # type: ignore[operator]
    assert torch.allclose(features.z, output.mean((2, 3)), atol=1e-5)
    assert torch.allclose(features.views["std"], output.std((2, 3), correction=0), atol=1e-5)
    with pytest.raises(
        ValueError, match=r"layer must be one of the network's, such as .*fc; got 'layer9'"
    ):
        Extractor(network, TINY, layer="layer9")


def test_a_network_with_several_last_layers_wants_a_layer(images: Images) -> None:
    architecture = Architecture("levit_128s", classes=5, small_stem=False)
    with pytest.raises(
        ValueError, match="levit_128s has no single last layer to read; give a layer"
    ):
        extract(Extractor(architecture.build(), architecture), images, np.arange(1))


def test_changed_pixels_are_what_the_network_sees(network: nn.Module, images: Images) -> None:
    rows = np.array([5, 2])
    changed = extract(_reads(network), images, rows, transform=lambda pixels: 255 - pixels)
    negative = Images("colours", "train", 255 - images.pixels, images.labels, images.classes)
    assert torch.allclose(changed.z, extract(_reads(network), negative, rows).z, atol=1e-5)
    assert changed.index is not None
    assert changed.index.tolist() == [5, 2]


# -- the mirror ------------------------------------------------------------------------------------


def _mirrored(images: Images) -> Images:
    pixels = np.ascontiguousarray(images.pixels[:, :, ::-1])
    return Images("colours", "train", pixels, images.labels, images.classes)


def _full(network: nn.Module, mirror: bool, energy: Energy | None = None) -> Extractor:
    """Returns an extractor of every view."""
    early_layer = EarlyLayer("layer2", energy)
    return Extractor(
        network, TINY, odin=True, dtype=torch.float32, early_layer=early_layer, mirror=mirror
    )


def test_features_of_two_passes_are_the_mean_over_both_images(
    network: nn.Module, images: Images
) -> None:
    both = extract(_full(network, mirror=True), images, batch=20)
    one, other = (
        extract(_full(network, mirror=False), each, batch=20)
        for each in (images, _mirrored(images))
    )
    assert not torch.allclose(one.z, other.z, atol=1e-3)
    for name in ("z", "std", "odin", "early"):
        mean = (one.columns([name]) + other.columns([name])) / 2
        assert torch.allclose(both.columns([name]), mean, rtol=1e-6, atol=1e-7), name
    averages = both.view("early")
    energy = EarlyLayer.of("layer2", moments_of(on_sphere(averages))).energy
    assert energy is not None
    scores = extract(_full(network, True, energy), images).views["early"]
    assert torch.allclose(scores[:, 0], energy(averages.z), rtol=1e-4)


def test_images_that_are_their_own_mirror_have_the_features_of_one_pass(
    network: nn.Module, images: Images
) -> None:
    pixels = images.pixels.copy()
    pixels[:, :, 16:] = pixels[:, :, 15::-1]
    images = replace(images, pixels=pixels)
    one, two = (extract(_full(network, mirror), images) for mirror in (False, True))
    for name in ("z", "std", "odin", "early"):
        assert torch.equal(one.columns([name]), two.columns([name])), name


def test_the_heads_logits_of_two_passes_are_the_mean_of_the_networks(
    network: nn.Module, images: Images
) -> None:
    head = head_of(network)
    assert head is not None
    pixels = classifier.pixels_tensor(images)
    with torch.inference_mode():
        logits = [network(TINY.normalise(each)) for each in (pixels, pixels.flip(3))]
    wanted = (logits[0] + logits[1]) / 2
    assert not torch.allclose(wanted, logits[0], atol=1e-2)
    extractor = _full(network, mirror=True)
    assert torch.allclose(head.logits(extract(extractor, images).z), wanted, atol=1e-5)
    assert logits_difference(extractor, head, pixels) < 1e-5
    moved = Head(head.weight, head.bias + 1)
    difference = logits_difference(extractor, moved, pixels)
    assert difference == pytest.approx(1 / float(wanted.abs().max()), rel=1e-3)


@pytest.mark.parametrize(("odin", "passes"), [(False, 1), (True, 2)])
def test_the_mirror_takes_twice_the_passes_and_no_more(
    odin: bool, passes: int, network: nn.Module, images: Images
) -> None:
    sizes: list[int] = []
    handle = network.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    try:
        for mirror in (False, True):
            extract(replace(_full(network, mirror), odin=odin), images, np.arange(5))
    finally:
        handle.remove()
    assert sizes == [5] * passes * 3


# -- layers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "layer", "stage"),
    [
        ("resnet18", "", "layer2"),
        ("resnet18", "layer3.0.conv1", "layer1"),
        ("resnet18", "conv1", ""),
        ("mobilenetv3_small_050", "", "blocks.1"),
        ("convnext_atto", "", "stages.1"),
        ("vit_tiny_patch16_224", "", "blocks.5"),
        ("inception_v3", "", ""),  # it takes no image of 32 pixels
    ],
)
def test_the_middle_stage_is_the_earlier_layer(model: str, layer: str, stage: str) -> None:
    architecture = Architecture(model, small_stem=False)
    network = architecture.build()
    passes: list[int] = []
    network.register_forward_pre_hook(lambda module, inputs: passes.append(len(inputs[0])))
    assert middle_stage(network, architecture, layer) == stage
    assert passes == [1]


class _Branches(nn.Module):
    """A stage that gives two maps."""

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        return inputs, -inputs


class _First(nn.Module):
    def forward(self, inputs: tuple[Tensor, Tensor]) -> Tensor:
        return inputs[0]


def test_a_stage_that_gives_no_tensor_is_no_earlier_layer(images: Images) -> None:
    network = nn.Sequential()
    for name, module in {
        "stem": nn.Conv2d(3, 4, 3),
        "branches": _Branches(),
        "first": _First(),
        "global_pool": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        "fc": nn.Linear(4, 3),
    }.items():
        network.add_module(name, module)
    network.get_classifier = lambda: network.fc  # type: ignore[method-assign]
    assert middle_stage(network, TINY) == ""  # none are listed
    network.feature_info = [  # type: ignore[assignment]
        {"module": name} for name in ("stem", "branches", "first", "gone")
    ]
    assert middle_stage(network, TINY) == "stem"
    with pytest.raises(ValueError, match="a layer that is read must give a tensor; branches gives"):
        extract(Extractor(network, TINY, early_layer=EarlyLayer("branches")), images)
