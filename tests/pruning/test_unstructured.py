from collections.abc import Callable

import pytest
import torch

from tas.cost.count import flops, nonzero_flops
from tas.pruning.unstructured import unstructured, without_smallest
from tas.reading.layer_calls import layer_calls


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_the_count_without_zeros_is_exactly_that_of_a_loop_over_layers(make_task: Callable, share: float) -> None:
    task = make_task("unstructured", share=share)
    found = unstructured(task)
    modules = dict(found.network.named_modules())
    layers = layer_calls(found.network, task.input_shape)
    assert found.cost == sum(int((modules[a.name].weight != 0).sum()) * a.positions for a in layers)
    assert task.budget.holds(found.cost)
    assert found.architecture == task.full
    assert flops(found.network, task.input_shape) == flops(task.network, task.input_shape)


def test_the_smallest_weights_of_all_layers_together_go(make_task: Callable) -> None:
    task = make_task("unstructured")
    names = [layer.name for layer in layer_calls(task.network, task.input_shape)]
    small = without_smallest(task.network, names, 1000)
    before = torch.cat([task.network.get_submodule(name).weight.detach().flatten() for name in names])
    after = torch.cat([small.get_submodule(name).weight.detach().flatten() for name in names])
    assert int((after == 0).sum()) == 1000
    assert before[after == 0].abs().max() <= before[after != 0].abs().min()
    assert torch.equal(before[after != 0], after[after != 0])
    assert nonzero_flops(small, task.input_shape) < nonzero_flops(task.network, task.input_shape)
    assert set(small.state_dict()) == set(task.network.state_dict())
