"""What a bundle says of each row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
Classes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Decisions:
    """What a bundle says of each row.

    Args:
        scores: (N,); larger is more out-of-distribution.
        p_values: (N,) how rarely an ID input scores as high.
        thresholds: (N,) above which a row is called out-of-distribution.
        predicted: (N,) the classifier's class; None without its head.

    >>> rows = Decisions(np.array([1.0, 3.0]), np.array([0.5, 0.01]), np.array([2.0, 2.0]))
    >>> rows.is_ood.tolist()
    [False, True]
    """

    scores: Array
    p_values: Array
    thresholds: Array
    predicted: Classes | None = None

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def is_ood(self) -> NDArray[np.bool]:
        """(N,) whether a row is called out-of-distribution."""
        return self.scores > self.thresholds

    def table(self, ids: Iterable[Any] | None = None) -> pd.DataFrame:
        """Returns a row for each input: id, score, p_value, threshold, is_ood, and predicted."""
        import pandas as pd

        columns: dict[str, Any] = {
            "id": range(len(self)) if ids is None else list(ids),
            "score": self.scores,
            "p_value": self.p_values,
            "threshold": self.thresholds,
            "is_ood": self.is_ood,
        }
        if self.predicted is not None:
            columns["predicted"] = self.predicted
        return pd.DataFrame(columns)
