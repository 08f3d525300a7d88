"""How sure a search is: by how much the likeliest candidate of each choice is ahead of the next."""

from torch import Tensor

from tas.cost.tables import Probabilities


def confidence(probabilities: Tensor) -> float:
    """The highest probability minus the second highest; 1 where there is no choice."""
    if len(probabilities) == 1:
        return 1.0
    first, second = map(float, probabilities.detach().topk(2).values)
    return first - second


def mean_confidence(widths: Probabilities, depths: Probabilities) -> float:
    """The mean confidence of all that is searched."""
    gaps = [confidence(p) for p in (*widths.values(), *depths.values()) if len(p) > 1]
    return sum(gaps) / len(gaps) if gaps else 1.0
