"""Scores rows and decides about them, with NumPy and safetensors: no torch, nothing of heat_core.

    python score.py ROWS [OUT.csv]      ROWS: .npy, .npz with z (and z__VIEW), or .parquet
    from score import Scorer            Scorer(FOLDER).decide(z)["is_ood"]

`program.json` is the energy as a list of array operations, `tensors.safetensors` what they read,
`card.json` the decision. The energy is computed in float64; larger is more out-of-distribution.
"""

import json
import sys
from pathlib import Path

import numpy as np

BATCH_NUMBERS = 2**22  # that a batch of rows may hold in one array


def topk(x, k, dim=-1, largest=True, is_sorted=True):
    order = np.argsort(-x if largest else x, axis=dim, kind="stable")
    index = np.take(order, np.arange(k), axis=dim)
    return np.take_along_axis(x, index, dim), index


def scatter(x, dim, index, values):
    x = x.copy()
    np.put_along_axis(x, index, values, dim)
    return x


def reduce(function):
    def apply(x, dim=None, keepdim=False, **_):
        axis = tuple(dim) if isinstance(dim, list) else dim
        return function(x, axis=None if axis == () else axis, keepdims=keepdim)

    return apply


def index(x, indices):
    return x[tuple(slice(None) if each is None else each for each in indices)]


def take_slice(x, dim=0, start=None, end=None, step=1):
    place = [slice(None)] * x.ndim
    place[dim] = slice(start, None if end is not None and end > 2**62 else end, step)
    return x[tuple(place)]


def split(x, sizes, dim=0):
    return np.split(x, np.cumsum(sizes)[:-1], axis=dim)


def addmm(bias, a, b, beta=1, alpha=1):
    return beta * bias + alpha * (a @ b)


def sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))


OPERATIONS = {
    "abs": np.abs,
    "add": lambda a, b, alpha=1: a + alpha * b,
    "addmm": addmm,
    "amax": reduce(np.max),
    "amin": reduce(np.min),
    "argmax": lambda x, dim=None, keepdim=False: np.argmax(x, axis=dim, keepdims=keepdim),
    "argmin": lambda x, dim=None, keepdim=False: np.argmin(x, axis=dim, keepdims=keepdim),
    "cat": lambda tensors, dim=0: np.concatenate(tensors, axis=dim),
    "clamp": lambda x, low=None, high=None: np.clip(x, low, high),
    "cos": np.cos,
    "div": np.divide,
    "eq": np.equal,
    "exp": np.exp,
    "ge": np.greater_equal,
    "gt": np.greater,
    "index": index,
    "leaky_relu": lambda x, slope=0.01: np.where(x > 0, x, slope * x),
    "log": np.log,
    "log1p": np.log1p,
    "mean": reduce(np.mean),
    "mm": np.matmul,
    "mul": np.multiply,
    "neg": np.negative,
    "permute": np.transpose,
    "pow": np.power,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "scalar_tensor": lambda value, **_: np.asarray(value),
    "scatter": scatter,
    "select": lambda x, dim, place: np.take(x, place, axis=dim),
    "sigmoid": sigmoid,
    "sin": np.sin,
    "slice": take_slice,
    "split_with_sizes": split,
    "squeeze": lambda x, dim=None: np.squeeze(x, tuple(dim) if isinstance(dim, list) else dim),
    "sub": lambda a, b, alpha=1: a - alpha * b,
    "sum": reduce(np.sum),
    "sym_size": lambda x, dim: x.shape[dim],
    "topk": topk,
    "unsqueeze": np.expand_dims,
    "view": np.reshape,
    "where": np.where,
    "getitem": lambda values, place: values[place],
}


class Scorer:
    """The energy and the decision in a folder.

    Attributes:
        inputs: the arrays that `score` takes: `z` if it reads z, then views.
        card: what was decided, and what is promised.
    """

    def __init__(self, folder):
        from safetensors.numpy import load_file

        folder = Path(folder)
        self.card = json.loads((folder / "card.json").read_text())
        program = json.loads((folder / "program.json").read_text())
        self.inputs, self.widths = program["inputs"], program["widths"]
        self.steps, self.result = program["steps"], program["result"]
        self.tensors = {
            name: array.astype(np.float64) if array.dtype.kind == "f" else array
            for name, array in load_file(folder / "tensors.safetensors").items()
        }

    def score(self, *arrays):
        """Returns the score of each row, (N,), of arrays (N, d) in the order of `inputs`."""
        rows = self._checked(arrays)
        batch = max(1, BATCH_NUMBERS // max(self.card["numbers_per_row"], rows.shape[1]))
        batches = [self._run(rows[i : i + batch]) for i in range(0, len(rows), batch)]
        return np.concatenate(batches) if batches else np.empty(0)

    def decide(self, *arrays):
        """Returns score, p_value, threshold and is_ood of each row; predicted by a head, of z."""
        scores = self.score(*arrays)
        predicted = self._predicted(arrays)
        by_class = self.card["thresholds_by_class"]
        thresholds = np.full(len(scores), self.card["threshold"], np.float64)
        p_values = np.empty(len(scores))
        if not by_class:
            p_values[:] = self._p_values(self.tensors["calibration"], scores)
        for label in np.unique(predicted) if predicted is not None and by_class else ():
            if str(label) not in by_class:
                raise ValueError(f"class {label} has no threshold.")
            rows = predicted == label
            thresholds[rows] = by_class[str(label)]
            chosen = self.tensors["calibration"][self.tensors["calibration_class"] == label]
            p_values[rows] = self._p_values(chosen, scores[rows])
        decisions = {"score": scores, "p_value": p_values, "threshold": thresholds}
        decisions["is_ood"] = scores > thresholds
        return decisions if predicted is None else {**decisions, "predicted": predicted}

    def _checked(self, arrays):
        if len(arrays) != len(self.inputs):
            raise ValueError(f"wanted the arrays {', '.join(self.inputs)}, got {len(arrays)}.")
        columns = []
        for name, width, array in zip(self.inputs, self.widths, arrays, strict=True):
            array = np.asarray(array)
            if array.dtype.kind not in "fiu":
                raise ValueError(f"{name} must hold numbers, got {array.dtype}.")
            if array.ndim != 2 or array.shape[1] != width:
                raise ValueError(f"{name} must have shape (N, {width}), got {array.shape}.")
            if not np.isfinite(array).all():
                raise ValueError(f"{name} must be finite.")
            columns.append(array.astype(np.float64))
        if len({len(array) for array in columns}) > 1:
            raise ValueError("all arrays must have as many rows.")
        return np.concatenate(columns, axis=1)

    def _run(self, rows):
        values = dict(self.tensors, rows=rows)

        def read(value):
            if isinstance(value, list):
                return [read(each) for each in value]
            if isinstance(value, dict):
                return values[value["is"]] if "is" in value else float(value["float"])
            return value

        with np.errstate(all="ignore"):
            for name, operation, arguments, options in self.steps:
                given = {key: read(value) for key, value in options.items()}
                values[name] = OPERATIONS[operation](*map(read, arguments), **given)
        return np.asarray(values[self.result], np.float64)

    def _predicted(self, arrays):
        if "head_weight" not in self.tensors or "z" not in self.inputs:
            return None
        z = np.asarray(arrays[self.inputs.index("z")], np.float64)
        return np.argmax(z @ self.tensors["head_weight"].T + self.tensors["head_bias"], axis=1)

    @staticmethod
    def _p_values(calibration, scores):
        ordered = np.sort(calibration)
        as_high = len(ordered) - np.searchsorted(ordered, scores, "left")
        return (1 + as_high) / (len(ordered) + 1)


def read(path, names):
    """Returns the arrays of these names in a file."""
    path = Path(path)
    if path.suffix == ".npy":
        return [np.load(path, allow_pickle=False)]
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            return [file[name] for name in names]
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path, columns=list(names))
    columns = [table.column(name).combine_chunks() for name in names]
    return [c.flatten().to_numpy(zero_copy_only=False).reshape(len(c), -1) for c in columns]


def main():
    scorer = Scorer(Path(__file__).parent)
    decisions = scorer.decide(*read(sys.argv[1], scorer.inputs))
    rows = zip(*(column.tolist() for column in decisions.values()), strict=True)
    lines = [",".join(map(str, [row, *values])) for row, values in enumerate(rows)]
    text = "\n".join([",".join(["row", *decisions]), *lines, ""])
    if len(sys.argv) > 2:
        Path(sys.argv[2]).write_text(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
