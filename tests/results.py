"""Results of runs that never ran."""

from typing import Any

from tas.runs.results import Likeliest, PruneResult, SearchResult, TrainResult

COSTS: dict[str, Any] = {
    "flops": 50,
    "flops_full": 100,
    "flops_ratio": 0.5,
    "params": 30,
    "params_full": 100,
    "params_ratio": 0.3,
    "seconds": 1.0,
    "seed": 0,
}
FOUND: dict[str, Any] = {"flops_target": 0.5, "params_target": None, "target_met": True, "reachable": None}


def search_result(**changes: Any) -> SearchResult:
    """What a search may have measured."""
    likeliest = Likeliest(flops_ratio=0.6, widths={"conv1": 9}, depths={"stage1": 2})
    own = {"val_accuracy": 0.4, "confidence": 0.2, "likeliest": likeliest}
    return SearchResult(**COSTS | FOUND | own | changes)


def prune_result(**changes: Any) -> PruneResult:
    """What a pruning may have measured."""
    return PruneResult(**COSTS | FOUND | {"method": "l1", "sparsity_weight": None} | changes)


def train_result(**changes: Any) -> TrainResult:
    """What a training may have measured."""
    return TrainResult(**COSTS | {"test_accuracy": 0.5, "teacher_accuracy": None, "kd": False, "epochs": 1} | changes)
