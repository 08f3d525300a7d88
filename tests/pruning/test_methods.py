"""What holds of every method, from the table of them."""

import inspect
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from torch import nn

from tas.config.methods import METHODS, Pruning
from tas.cost.count import parameters
from tas.cost.measures import FLOPS, PARAMS
from tas.errors import TasError
from tests.conftest import environment
from tests.pruning.conftest import same_outputs

OWN_OPTIONS = {field.name for field in fields(Pruning)} - {"method"}
TO_ANY_BUDGET = [name for name in METHODS if name not in ("sss", "unstructured")]
"""sss has few budgets that it can meet, unstructured none of parameters."""


class Watched:
    """Notes the names of what is asked of an object."""

    def __init__(self, watched: object, asked: set[str], **instead: object) -> None:
        self.watched, self.asked, self.instead = watched, asked, instead

    def __getattr__(self, name: str) -> Any:
        self.asked.add(name)
        return self.instead[name] if name in self.instead else getattr(self.watched, name)


@pytest.mark.parametrize("name", METHODS)
def test_every_name_leads_to_a_function_of_a_task(name: str) -> None:
    function = METHODS[name].load()
    assert inspect.isfunction(function) and function.__module__.startswith("tas.pruning.")
    assert list(inspect.signature(function).parameters) == ["task"]


def test_no_two_names_lead_to_one_function() -> None:
    assert len({method.load() for method in METHODS.values()}) == len(METHODS)


def test_every_option_of_pruning_is_read_by_a_method_and_no_other_is_named() -> None:
    assert {option for method in METHODS.values() for option in method.options} == OWN_OPTIONS


@pytest.mark.parametrize("name", METHODS)
def test_a_method_reads_the_options_that_the_table_names(make_task: Callable, name: str) -> None:
    task, read = make_task(name), set[str]()
    pruning = Watched(task.options.pruning, read)
    METHODS[name].load()(replace(task, options=Watched(task.options, set(), pruning=pruning)))
    assert read - {"method"} == set(METHODS[name].options)


@pytest.mark.parametrize("name", METHODS)
def test_an_option_of_another_method_is_refused_in_one_line(name: str) -> None:
    for option in OWN_OPTIONS - set(METHODS[name].options):
        readers = " or ".join(other for other, method in METHODS.items() if option in method.options)
        with pytest.raises(TasError) as refused:
            Pruning(method=name, **{option: 3})
        assert str(refused.value) == f"--{option.replace('_', '-')} goes with --method {readers}, not with {name}"


def test_of_several_options_of_other_methods_always_the_same_is_named() -> None:
    script = "from tas.config.methods import Pruning\nPruning(method='l1', blocks=1, candidates=5, sparsity_weight=0.5)"
    said = set()
    for seed in range(4):
        made = {**environment(), "PYTHONHASHSEED": str(seed)}
        done = subprocess.run([sys.executable, "-c", script], env=made, capture_output=True, text=True)
        said.add(done.stderr.splitlines()[-1])
    assert said == {"tas.errors.TasError: --blocks goes with --method uniform or shallow or balanced, not with l1"}


@pytest.mark.parametrize("name", METHODS)
def test_weights_are_zero_after_the_methods_that_leave_zeros_alone(make_task: Callable, name: str) -> None:
    task = make_task(name)
    found = METHODS[name].load()(task)
    layers = [module for module in found.network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert any(not layer.weight.all() for layer in layers) == METHODS[name].leaves_zeros
    assert (found.architecture == task.full) == METHODS[name].leaves_zeros


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if not method.needs_weights])
def test_methods_that_need_no_weights_find_a_fresh_network(make_task: Callable, name: str) -> None:
    task = replace(make_task(name), trained=False)
    found = METHODS[name].load()(task)
    fresh, own = task.fresh(found.architecture).state_dict(), found.network.state_dict()
    assert own.keys() == fresh.keys() and all(torch.equal(own[key], fresh[key]) for key in fresh)


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if not method.needs_weights])
def test_only_methods_without_a_seed_find_the_same_whatever_it_is(make_task: Callable, name: str) -> None:
    found = []
    for seed in (0, 1):
        task = make_task(name, seed=seed)
        (task.run.path / "candidates.json").unlink(missing_ok=True)
        found.append(METHODS[name].load()(task).architecture)
    assert (found[0] == found[1]) == METHODS[name].seedless


@pytest.mark.parametrize("name", TO_ANY_BUDGET)
def test_a_budget_of_parameters_is_met(make_task: Callable, name: str) -> None:
    task = make_task(name, share=0.4, measure="params")
    found = METHODS[name].load()(task)
    assert task.budget.holds(found.cost)
    assert 0.39 < found.cost / parameters(task.network) < 0.41
    assert found.cost == PARAMS.exact(task.plan, found.architecture) == parameters(found.network)
    assert same_outputs(found.architecture, found.network, task.input_shape)


@pytest.mark.parametrize("name", ["torchvision/mobilenet_v2", "torchvision/resnet18"])
def test_a_budget_of_parameters_is_another_than_one_of_flops(make_task: Callable, name: str) -> None:
    found = {}
    for measure in ("flops", "params"):
        task = make_task("l1", name, share=0.4, measure=measure)
        found[measure] = METHODS["l1"].load()(task)
        assert task.budget.holds(found[measure].cost)
    flops, params = (measure.exact(task.plan, task.full) for measure in (FLOPS, PARAMS))
    assert not 0.39 < FLOPS.exact(task.plan, found["params"].architecture) / flops < 0.41
    assert not 0.39 < PARAMS.exact(task.plan, found["flops"].architecture) / params < 0.41


def test_sss_comes_as_near_to_a_budget_of_parameters_as_whole_blocks_can(make_task: Callable) -> None:
    task = make_task("sss", measure="params")
    found = METHODS["sss"].load()(task)
    assert found.cost == PARAMS.exact(task.plan, found.architecture) == parameters(found.network)
    low, high = found.around
    assert low <= task.budget.target <= high
    assert abs(found.cost - task.budget.target) == min(task.budget.target - low, high - task.budget.target)
    assert same_outputs(found.architecture, found.network, task.input_shape)


def test_unstructured_refuses_a_budget_of_parameters_in_one_line(make_task: Callable) -> None:
    with pytest.raises(TasError) as refused:
        make_task("unstructured", measure="params")
    said = str(refused.value)
    assert said.startswith("--params-target goes with --method uniform or shallow or ")
    assert said.endswith(", not with unstructured") and "\n" not in said
