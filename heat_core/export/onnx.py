"""A bundle as an ONNX graph: rows of features, or images, to scores and decisions."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from heat_core.bundles import Bundle
from heat_core.bundles.files import decision_card
from heat_core.energies import rows_per_batch
from heat_core.files import whole_folder
from heat_core.version import __version__

from .graph import (
    DecisionGraph,
    ImageDecisionGraph,
    ImageReader,
    decision_inputs,
    input_dtype,
    input_names,
)

FORMAT, VERSION = "heat-onnx", "1"
MODEL, CARD = "model.onnx", "card.json"
OPSET = 20
ROWS = 7  # of the example that is traced; the graph takes any number
SIDE = 32  # of images, in pixels, as `decoding.read_image` gives them
MAX_BYTES = 2**31 - 2**20  # of tensors: a protobuf file ends at 2 GiB

REFUSED = (
    "A graph cannot refuse a row. One that the library refuses (nan, inf, beyond 1e15, a score "
    "that is not finite, a class without a threshold) is called out-of-distribution: is_ood is "
    "true, score nan, p_value 0; predicted is -1 where the input is at fault. Another dtype or "
    "width is refused by the runtime."
)
PREPROCESSING = (
    "RGB as 8-bit numbers. Outside the graph: turn the image as its EXIF says, lay it on white "
    f"where it is transparent, crop the largest centred square, resize it to {SIDE} x {SIDE} by "
    "bilinear interpolation with antialiasing. Inside: {normalisation}; {passes}; features are "
    "rounded to {dtype}, as the pack has them."
)


def export_onnx(
    bundle: Bundle, path: Path, overwrite: bool = False, reader: ImageReader | None = None
) -> None:
    """Writes a folder with `model.onnx` and `card.json`, whole or not at all.

    The graph takes any number of rows of features, or of images with a reader, and gives score,
    p_value, threshold, is_ood and, with a head, predicted. Its threshold and its calibration scores
    are inputs that have the bundle's own for their defaults.

    Args:
        bundle: what is exported.
        path: the folder.
        overwrite: whether to replace one that is there.
        reader: of images, as `ImageReader.of` gives it; without one the graph takes features.

    Raises:
        FileExistsError: there is a folder, and it is not to be replaced.
        ValueError: torch cannot export the graph, or it holds more than a file can.
        ModuleNotFoundError: onnx or onnxscript is not installed.
    """
    model = onnx_model(bundle, reader)
    with whole_folder(path, overwrite) as folder:
        (folder / MODEL).write_bytes(model.SerializeToString())
        (folder / CARD).write_text(json.dumps(onnx_card(bundle, reader), indent=2) + "\n")


def onnx_model(bundle: Bundle, reader: ImageReader | None = None) -> Any:
    """Returns the graph of a bundle, an `onnx.ModelProto`; arguments and errors as `export_onnx`.

    Its metadata says what the card says, {key: text or JSON}.
    """
    from onnx import helper, numpy_helper

    defaults = decision_inputs(bundle)
    model = _exported(bundle, reader, defaults)
    graph = model.graph
    for node in graph.node:  # of the code that was traced, and where it lay
        del node.metadata_props[:]
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del value.metadata_props[:]
    del graph.metadata_props[:]
    graph.name = bundle.detector.name
    for name, tensor in defaults.items():
        graph.initializer.append(numpy_helper.from_array(tensor.numpy(), name))
    card = onnx_card(bundle, reader)
    texts = {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in card.items()
    }
    helper.set_model_props(model, texts)
    model.producer_name, model.producer_version = "heat-dashboard", __version__
    return model


def _exported(bundle: Bundle, reader: ImageReader | None, defaults: dict[str, Tensor]) -> Any:
    """Returns the graph as torch exports it. Raises ValueError where torch cannot, in one line."""
    import onnxscript  # noqa: F401  torch's exporter needs it

    graph: nn.Module = DecisionGraph(bundle)
    names = _graph_inputs(bundle, reader)
    rows: Any = [_example(shape[1:], dtype) for shape, dtype in names.values()]
    row_shapes: Any = [{0: torch.export.Dim("rows", min=1)} for _ in rows]
    if reader is not None:
        graph = ImageDecisionGraph(reader, graph)
        (rows,), (row_shapes,) = rows, row_shapes
    count = torch.export.Dim("calibration_rows", min=1)
    shapes = [{} if key.startswith("threshold") else {0: count} for key in defaults]
    examples = [
        value if key.startswith("threshold") else value.new_zeros(ROWS + 2)
        for key, value in defaults.items()
    ]
    outputs = ["score", "p_value", "threshold", "is_ood", "predicted"]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            program = torch.onnx.export(
                graph.eval(),
                (rows, *examples),
                input_names=[*names, *defaults],
                output_names=outputs if bundle.head is not None else outputs[:-1],
                opset_version=OPSET,
                dynamo=True,
                dynamic_shapes=(row_shapes, tuple(shapes)) if reader else (row_shapes, *shapes),
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise ValueError(
                f"torch cannot export {bundle.detector.name} to ONNX: {_root_cause(error)[:200]}"
            ) from None
    assert program is not None  # it is returned where dynamo is set
    _check_size(program.model)
    model = program.model_proto
    if not model.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        raise ValueError(
            f"torch cannot export {bundle.detector.name} to ONNX: its energy counts rows, so that "
            f"the graph would take {ROWS} rows and no other number."
        )
    return model


def _root_cause(error: BaseException) -> str:
    """Returns the first line of what an error began with: torch's own go on with advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def _check_size(model: Any) -> None:
    """Raises ValueError if the tensors of a model are more than one file holds."""
    tensors = (value.const_value for value in model.graph.initializers.values())
    size = sum(tensor.nbytes for tensor in tensors if tensor is not None)
    if size > MAX_BYTES:
        raise ValueError(
            f"the graph would hold {size / 2**30:.1f} GiB, and an ONNX file ends at 2 GiB."
        )


def _example(shape: tuple[Any, ...], dtype: torch.dtype) -> Tensor:
    """Returns rows of a shape to trace with, (ROWS, *shape)."""
    if dtype == torch.uint8:
        return torch.randint(0, 256, (ROWS, *shape), dtype=dtype)
    return torch.rand(ROWS, *shape, dtype=dtype) + 0.5


def _graph_inputs(
    bundle: Bundle, reader: ImageReader | None
) -> dict[str, tuple[tuple[Any, ...], torch.dtype]]:
    """Returns what the graph takes of rows, {name: (shape, dtype)}."""
    if reader is not None:
        return {"pixels": (("rows", SIDE, SIDE, 3), torch.uint8)}
    dtype = input_dtype(bundle)
    return {
        "z" if name == "z" else f"z__{name}": (("rows", bundle.shape.width(name)), dtype)
        for name in input_names(bundle)
    }


def onnx_card(bundle: Bundle, reader: ImageReader | None = None) -> dict[str, Any]:
    """Returns what `card.json` and the metadata of a graph say.

    Args:
        bundle: what was exported.
        reader: of images, if the graph takes them.
    """
    inputs = {
        name: {"shape": list(shape), "dtype": _name(dtype)}
        for name, (shape, dtype) in _graph_inputs(bundle, reader).items()
    }
    optional = {
        name: {
            "shape": list(tensor.shape) if name.startswith("threshold") else ["calibration_rows"],
            "dtype": _name(tensor.dtype),
        }
        for name, tensor in decision_inputs(bundle).items()
    }
    card = {
        **decision_card(bundle),
        "format": FORMAT,
        "version": VERSION,
        "code_version": __version__,
        "inputs": inputs,
        "optional_inputs": optional,
        "optional_inputs_are": "the bundle's own by default; others, finite and in any "
        "order, decide otherwise",
        "refused_rows": REFUSED,
        "rows_at_a_time": _rows_at_a_time(bundle),
    }
    if reader is None:
        return card
    extractor = reader.extractor
    passes = "features are means over an image and its mirror image"
    return card | {
        "preprocessing": PREPROCESSING.format(
            normalisation=extractor.architecture.normalisation,
            passes=passes if extractor.mirror else "one pass of the network",
            dtype=_name(extractor.dtype),
        ),
        "network": extractor.architecture.model,
    }


def _rows_at_a_time(bundle: Bundle) -> int:
    """Returns how many rows take no more memory than scoring does: each has a p-value to count."""
    counted = rows_per_batch(len(bundle.calibration.inside))
    return min(bundle.energy.rows_at_a_time, counted)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
