"""Rows made by hand."""

from collections.abc import Sequence

from tas.comparison.methods import UNPRUNED
from tas.comparison.rows import Row
from tas.comparison.statistics import Difference, paired


def row(method: str, seed: int, accuracy: float, **other: object) -> Row:
    values: dict[str, object] = {
        "training": "scratch-e",
        "kd": False,
        "measure": "flops",
        "target": 0.5,
        "flops_ratio": 0.5,
        "target_met": True,
        "params": 1000,
        "params_ratio": 0.4,
        "epochs": 3,
        "search_seconds": 10.0,
        "train_seconds": 20.0,
        "commit": "abc",
        "search_commit": "abc",
        "run": f"dir/{method}/{seed}",
        "aimed": f"{other.get('target', 0.5):g}",
    }
    return Row(method=method, seed=seed, test_accuracy=accuracy, **(values | other))  # type: ignore[arg-type]


def unpruned(seed: int, accuracy: float) -> Row:
    return row(UNPRUNED, seed, accuracy, target=1.0, flops_ratio=1.0, params_ratio=1.0, search_seconds=0.0)


def difference(gaps: Sequence[float], measure: str = "flops", **other: object) -> Difference:
    """Of seeds that differ by the gaps; `other` is of the method's rows."""
    pairs = [
        (row("tas", seed, 0.5 + gap, measure=measure, **other), row("uniform", seed, 0.5, measure=measure))
        for seed, gap in enumerate(gaps)
    ]
    return paired(row("tas", 0, 0.5, measure=measure), "uniform", pairs)
