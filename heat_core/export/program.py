"""An energy as a list of array operations, which other programs than torch can run."""

from __future__ import annotations

import math
import operator
import warnings
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx
from torch.export.graph_signature import InputKind

from heat_core.energies import Energy

from .score import OPERATIONS

SKIPPED = {"_assert_tensor_metadata", "sym_constrain_range_for_size", "_assert_scalar"}
ROWS = 7  # of the example that is traced; the program takes any number


class Program(NamedTuple):
    """An energy as steps.

    Args:
        steps: (name, operation, arguments, options) each, in order. An argument `{"is": NAME}` is
            an earlier step's result, a tensor, or `rows`, the input.
        result: the name of the step that gives the energy.
        tensors: what the steps read, {name: tensor}, as precise as the energy has them.
    """

    steps: list[tuple[str, str, list[Any], dict[str, Any]]]
    result: str
    tensors: dict[str, Tensor]


def program_of(energy: Energy, width: int) -> Program:
    """Returns an energy as a program over rows (N, width) in float64.

    Raises ValueError if it takes an operation that the scorer does not know.

    >>> from heat_core.energies import PrecomputedScore
    >>> program_of(PrecomputedScore() / 2, 1).steps[-1]
    ('div', 'div', [{'is': 'select'}, {'is': 'temperature'}], {})
    """
    exported = trace(energy, width)
    own = energy.state_dict()
    kinds = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)
    tensors: dict[str, Tensor] = {}
    names: dict[str, str] = {}
    for spec in exported.graph_signature.input_specs:
        if spec.kind in kinds and spec.target is not None:
            names[spec.arg.name] = spec.target
            value = own.get(spec.target)
            tensors[spec.target] = exported.constants[spec.target] if value is None else value
        else:
            names[spec.arg.name] = "rows"
    steps = []
    result = ""
    for node in exported.graph.nodes:
        if node.op == "call_function" and _name(node) not in SKIPPED:
            steps.append(_step(node, names))
        elif node.op == "output":
            result = node.args[0][0].name
    return Program(steps, names.get(result, result), _contiguous(tensors))


def trace(energy: Energy, width: int) -> Any:
    """Returns the exported program of an energy, for any number of rows (N, width) in float64."""
    double = _copy_of(energy).double().eval()
    example = torch.rand(ROWS, width, dtype=torch.float64) + 0.5
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        exported = torch.export.export(
            double, (example,), dynamic_shapes=({0: torch.export.Dim("rows", min=1)},)
        )
        return exported.run_decompositions()


def _copy_of(energy: Energy) -> Energy:
    import copy

    return copy.deepcopy(energy).cpu()


def _name(node: fx.Node) -> str:
    """Returns the name of a node's operation: `add` of `aten.add.Tensor`."""
    if node.target is operator.getitem:
        return "getitem"
    if not isinstance(node.target, torch._ops.OpOverload):
        return str(node.target)
    return node.target._schema.name.partition("::")[2]


def _step(node: fx.Node, names: dict[str, str]) -> tuple[str, str, list[Any], dict[str, Any]]:
    name = _name(node)
    if name not in OPERATIONS:
        raise ValueError(f"the operation {name} is not among those that the scorer knows.")
    arguments = [_argument(value, names) for value in node.args]
    ignored = ("dtype", "device", "layout", "pin_memory", "memory_format")
    options = {
        key: _argument(value, names) for key, value in node.kwargs.items() if key not in ignored
    }
    return node.name, name, arguments, options


def _argument(value: Any, names: dict[str, str]) -> Any:
    """Returns an argument as JSON can hold it."""
    if isinstance(value, fx.Node):
        return {"is": names.get(value.name, value.name)}
    if isinstance(value, list | tuple):
        return [_argument(each, names) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def _contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
