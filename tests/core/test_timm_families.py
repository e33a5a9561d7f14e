"""Networks of many families: features, head and logits agree, or one line says what does not.

The list was made from timm 1.0.31: of every module of `timm.models` that has one, the member with
the fewest parameters (built on the meta device), where that builds and reads an image of 32 pixels,
or of the size that it is fixed to, in less than half a second of a busy core: 61 of 98 modules.
Added are three slower ones with a head of their own kind: VOLO, Swin, Sequencer.
"""

from __future__ import annotations

import pytest
import timm
import torch

from heat_core.images.classifier import Architecture
from heat_core.images.extract import Extractor, check_network, head_of

FAMILIES = {
    "byobnet": "test_byobnet",
    "convmixer": "convmixer_768_32",
    "convnext": "test_convnext",
    "cpubone": "cpubone_nano",
    "crossvit": "crossvit_tiny_240",
    "csatv2": "csatv2",
    "cspnet": "cs3darknet_focus_s",
    "cspnext": "cspnext_tiny",
    "deit": "deit_tiny_patch16_224",
    "dla": "dla46x_c",
    "dpn": "dpn48b",
    "edgenext": "edgenext_xx_small",
    "efficientformer": "efficientformer_l1",
    "efficientformer_v2": "efficientformerv2_s0",
    "efficientnet": "test_efficientnet",
    "efficientvim": "efficientvim_m1",
    "efficientvit_mit": "efficientvit_b0",
    "efficientvit_msra": "efficientvit_m0",
    "fasternet": "fasternet_t0",
    "fastvit": "fastvit_t8",
    "ghostnet": "ghostnet_050",
    "hardcorenas": "hardcorenas_b",
    "hgnet": "hgnetv2_b0",
    "hrnet": "hrnet_w18_small",
    "iformer": "iformer_t",
    "inception_next": "inception_next_atto",
    "inception_v3": "inception_v3",
    "inception_v4": "inception_v4",
    "lcnetv2": "lcnetv2_small",
    "levit": "levit_128s",
    "lowformer": "lowformer_b0",
    "mambaout": "test_mambaout",
    "maxxvit": "test_coatnet",
    "metaformer": "poolformerv2_s12",
    "mobilenetv3": "lcnet_035",
    "mobilevit": "mobilevit_xxs",
    "nest": "nest_tiny_jx",
    "nextvit": "nextvit_small",
    "nfnet": "test_nfnet",
    "pit": "pit_ti_224",
    "pvt_v2": "pvt_v2_b0",
    "rdnet": "rdnet_tiny",
    "regnet": "regnetx_002",
    "repghost": "repghostnet_050",
    "repvit": "repvit_m1",
    "res2net": "res2next50",
    "resnest": "resnest14d",
    "resnet": "test_resnet",
    "resnetv2": "resnetv2_18",
    "rexnet": "rexnet_100",
    "senet": "legacy_seresnet18",
    "sequencer": "sequencer2d_s",
    "shvit": "shvit_s1",
    "sknet": "skresnet18",
    "starnet": "starnet_s050",
    "swiftformer": "swiftformer_xs",
    "swin_transformer": "swin_tiny_patch4_window7_224",
    "tiny_vit": "tiny_vit_5m_224",
    "vision_transformer": "test_vit",
    "vision_transformer_hybrid": "vit_tiny_r_s16_p8_224",
    "vision_transformer_relpos": "test_vit_relpos",
    "volo": "volo_d1_224",
    "vovnet": "ese_vovnet19b_slim_dw",
    "xception_aligned": "xception41p",
}
"""{module of timm.models: its smallest member}."""

REFUSED = {
    "crossvit_tiny_240": "has no single last layer to read; give a layer",
    "csatv2": "does not take images of 32 pixels",
    "efficientformer_l1": "has no single last layer to read; give a layer",
    "efficientformerv2_s0": "has no single last layer to read; give a layer",
    "efficientvim_m1": "has no single last layer to read; give a layer",
    "inception_v3": "does not take images of 32 pixels",
    "inception_v4": "does not take images of 32 pixels",
    "levit_128s": "has no single last layer to read; give a layer",
    "swiftformer_xs": "has no single last layer to read; give a layer",
}
"""{model: why its features cannot be read unasked}."""

NO_HEAD = {"cpubone_nano", "iformer_t", "repvit_m1", "sequencer2d_s"}
"""Models whose last layer is no product with a weight: their packs have no head."""

OTHER_LOGITS = {"volo_d1_224"}
"""Models whose logits are more than those of their last layer, which a pack's notes say."""


@pytest.mark.parametrize("model", FAMILIES.values(), ids=FAMILIES)
def test_features_head_and_logits_agree_or_a_line_says_what_does_not(model: str) -> None:
    if not timm.is_model(model):
        pytest.skip(f"timm {timm.__version__} has no {model}")
    torch.manual_seed(0)
    architecture = Architecture(model, classes=5, small_stem=False)
    extractor = Extractor(architecture.build().eval(), architecture, dtype=torch.float32)
    pixels = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    if model in REFUSED:
        with pytest.raises(ValueError, match=f"{model} {REFUSED[model]}") as caught:
            check_network(extractor)
        assert "\n" not in str(caught.value)
        return
    check_network(extractor)
    arrays = extractor(pixels)
    z = arrays["z"]
    assert all(array.ndim == 2 and len(array) == 1 for array in arrays.values())
    head = head_of(extractor.network)
    assert (head is None) == (model in NO_HEAD)
    if head is not None:
        with torch.inference_mode():
            logits = extractor.network(architecture.normalise(pixels))
        agree = torch.allclose(head.logits(z), logits, atol=1e-4)
        assert agree == (model not in OTHER_LOGITS)
