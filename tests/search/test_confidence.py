"""How sure a search is."""

import pytest
import torch

from tas.search.confidence import confidence, mean_confidence


@pytest.mark.parametrize(
    ("probabilities", "gap"), [([0.2, 0.5, 0.3], 0.2), ([0.25] * 4, 0.0), ([0.0, 1.0], 1.0), ([1.0], 1.0)]
)
def test_confidence_is_the_highest_minus_the_second_highest(probabilities: list[float], gap: float) -> None:
    assert confidence(torch.tensor(probabilities)) == pytest.approx(gap)


def test_the_mean_confidence_is_of_what_is_searched() -> None:
    widths = {"a": torch.tensor([0.2, 0.8]), "fixed": torch.tensor([1.0])}
    depths = {"b": torch.tensor([0.6, 0.4])}
    assert mean_confidence(widths, depths) == pytest.approx((0.6 + 0.2) / 2)
    assert mean_confidence({"fixed": torch.tensor([1.0])}, {}) == 1.0
