from collections.abc import Callable

import pytest

from tas.errors import TasError
from tas.pruning.rules import all_widths, uniform
from tas.space.controls import narrowing_steps


@pytest.mark.parametrize("name", ["resnet20", "torchvision/mobilenet_v2"])
@pytest.mark.parametrize("share", [0.5, 0.2])
@pytest.mark.parametrize("blocks", [None, 2])
def test_every_width_is_within_a_channel_of_one_share(
    make_task: Callable, name: str, share: float, blocks: int | None
) -> None:
    task = make_task("uniform", name, share, blocks=blocks)
    found = uniform(task)
    assert task.budget.holds(found.cost)
    kept = {stage: min(full, blocks or full) for stage, full in task.full.depths.items()}
    assert found.architecture.depths == kept
    low = max((kept - 0.5) / task.full.widths[width] for width, kept in found.architecture.widths.items())
    high = min((kept + 0.5) / task.full.widths[width] for width, kept in found.architecture.widths.items())
    # One share rounds to all widths, but for those that step at the very share and come later in forward order.
    assert low <= high + 1e-9


def test_blocks_that_leave_out_none_are_refused(make_task: Callable) -> None:
    with pytest.raises(TasError, match="--blocks is 3; allowed: less than the 3 of the longest stage"):
        uniform(make_task("uniform", blocks=3))
    with pytest.raises(TasError, match="--blocks goes with --method uniform or shallow or balanced, not with random"):
        make_task("random", blocks=2)


def test_widths_step_where_rounding_does(make_task: Callable) -> None:
    space = all_widths(make_task("uniform"))
    steps, full = narrowing_steps(space), {name: candidates[-1] for name, candidates in space.widths.items()}
    assert {name: steps.count(name) for name in full} == {n: c - 1 for n, c in full.items()}
    for share in (0.9, 0.71, 0.33):
        widths = dict(full)
        for name in steps[: sum(c - max(1, round(c * share)) for c in full.values())]:
            widths[name] -= 1
        assert widths == {name: max(1, round(count * share)) for name, count in full.items()}


def test_identity_shortcuts_stay(make_task: Callable) -> None:
    found = uniform(make_task("uniform", share=0.37))
    assert not any("shortcut" in name and "stage1" in name for name in found.network.state_dict())
