"""`tas train --keep-zeros`: networks pruned weight by weight stay as sparse as they were."""

from collections.abc import Callable

import torch
from safetensors.torch import load_file
from torch import nn

import tas
from tas.runs.run import Run
from tas.runs.weights_file import save_state
from tas.training.module import TrainModule
from tests.commands.conftest import metrics_of, same_but_for_time

QUICK = ["--epochs", "2", "--batch-size", "32", "--init", "inherited"]


def thin_out(run: Run) -> dict[str, torch.Tensor]:
    """Set the smaller half of each convolution's weights beside an architecture to zero; returns the masks."""
    state, masks = load_file(run.weights), {}
    for name, tensor in state.items():
        if tensor.dim() == 4:
            masks[name] = tensor.abs() > tensor.abs().median()
            state[name] = tensor * masks[name]
    save_state(run.weights, state)
    return masks


def test_zeros_stay_and_are_left_out_of_the_cost(
    cli: Callable, few_digits: None, make_search: Callable, make_teacher: Callable
) -> None:
    masks = thin_out(make_search())
    make_teacher("a")
    kd = ["--kd", "--teacher", "a", "--attention-transfer", "10", "--hints", "1"]
    status, out, err = cli("train", *QUICK, "--keep-zeros", *kd, "--output", "run")
    assert status == 0, err
    network, metrics = tas.load("run"), metrics_of(Run("run"))
    state = network.state_dict()
    assert all(torch.equal(state[name] != 0, mask) for name, mask in masks.items())
    positions = {"conv1": 64, "stage1": 64, "stage2": 16, "stage3": 4, "fc": 1}
    left = sum(
        positions[name.split(".")[0]] * int(module.weight.count_nonzero())
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    )
    assert metrics["flops_nonzero"] == left < metrics["flops"] == tas.flops(network, (1, 8, 8))
    assert metrics["flops_nonzero_ratio"] == left / metrics["flops_full"]
    assert "of non-zero weights" in out


def test_without_the_option_zeros_are_trained(cli: Callable, few_digits: None, make_search: Callable) -> None:
    masks = thin_out(make_search())
    assert cli("train", *QUICK, "--output", "run").status == 0
    state = tas.load("run").state_dict()
    zeros = sum(int((state[name] == 0).sum()) for name in masks)  # of filters that no image excites
    assert zeros < 0.1 * sum(int((~mask).sum()) for mask in masks.values())
    assert metrics_of(Run("run"))["flops_nonzero"] is None


def test_an_interrupted_training_keeps_its_zeros(
    cli: Callable, few_digits: None, make_search: Callable, interrupt: Callable
) -> None:
    thin_out(make_search())
    given = ["train", *QUICK, "--keep-zeros"]
    assert cli(*given, "--output", "unbroken").status == 0
    interrupt(TrainModule, epoch=1)
    assert cli(*given, "--output", "broken").status == 130
    assert cli("train", "--resume", "broken").status == 0
    same_but_for_time(Run("broken"), Run("unbroken"))


def test_given_weights_keep_their_zeros_too(cli: Callable, few_digits: None, make_teacher: Callable) -> None:
    masks = thin_out(make_teacher("pruned"))
    given = ["--network", "resnet20", "--weights", "pruned", "--keep-zeros", "--epochs", "1"]
    assert cli("train", *given, "--output", "run").status == 0
    state = tas.load("run").state_dict()
    assert all(torch.equal(state[name] != 0, mask) for name, mask in masks.items())


def test_weights_without_a_zero_are_refused(refused: Callable, few_digits: None, make_search: Callable) -> None:
    make_search()
    assert "--keep-zeros: no weight of the network's" in refused(
        "train", *QUICK, "--keep-zeros", "--architecture", "runs/search/made"
    )


def test_other_errors_are_not_blamed_on_it(cli: Callable, few_digits: None, make_search: Callable) -> None:
    thin_out(make_search())
    status, _, err = cli("train", *QUICK, "--keep-zeros", "--lr", "1e30")
    assert status == 2
    assert "--lr" in err.splitlines()[-1] and "--keep-zeros" not in err.splitlines()[-1]
