import pytest

from tas.pruning.penalty import SHRINKAGE, shrinking_weight
from tas.training.schedules import cosine


@pytest.mark.parametrize(("steps", "momentum"), [(1, 0.0), (7, 0.0), (1000, 0.9), (1000, 0.5)])
def test_the_steps_of_a_training_add_up_to_the_shrinkage(steps: int, momentum: float) -> None:
    weight, velocity, taken = shrinking_weight(0.1, steps, momentum), 0.0, 0.0
    for step in range(steps):
        velocity = momentum * velocity + weight
        taken += cosine(0.1, step / steps) * velocity
    assert taken == pytest.approx(SHRINKAGE, rel=0.02 if momentum else 1e-9)
