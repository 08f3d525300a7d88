"""A network of the user's own, from its search to a process that has seen nothing of it."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import tas
from tas.architecture import Architecture
from tas.cutting.importance import sorted_by_importance
from tas.networks import open_network
from tas.reading.readers import read_plan
from tas.runs.run import Run
from tests.commands.conftest import metrics_of, only_run
from tests.conftest import environment

MYNET = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.deep = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm = nn.BatchNorm2d(channels)
        self.wide = nn.Conv2d(channels, 2 * channels, 1)
        self.back = nn.Conv2d(2 * channels, channels, 1)
        self.scale = nn.Parameter(0.1 * torch.ones(channels, 1, 1))

    def forward(self, x):
        return x + self.scale * self.back(self.wide(self.norm(self.deep(x))).relu())


class MyNet(nn.Module):
    def __init__(self, num_classes, in_channels):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(in_channels, 20, 3, padding=1, bias=False), nn.BatchNorm2d(20), nn.ReLU())
        self.blocks = nn.Sequential(Block(20), Block(20), Block(20))
        self.head = nn.Conv2d(20, 32, 3, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(32)
        self.classify = nn.Linear(32, num_classes)

    def forward(self, x):
        return self.classify(self.norm(self.head(self.blocks(self.stem(x)))).relu().mean((2, 3)))


def make(num_classes, in_channels):
    return MyNet(num_classes, in_channels)
"""
NAME = "mynet:make"
QUICK = ["--epochs", "1", "--batch-size", "32"]
STILL = ["--lr", "1e-30", "--weight-decay", "0"]
"""A training that leaves parameters, but for zeros, as they were at its start."""


@pytest.fixture
def mynet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few_digits: None) -> Iterator[None]:
    """The user's script in the working directory."""
    (tmp_path / "mynet.py").write_text(MYNET)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    yield
    sys.modules.pop("mynet", None)


@pytest.fixture
def search(mynet: None, cli: Callable, tmp_path: Path) -> Callable[..., Run]:
    """Search the user's network, with these options, and return what that left."""

    def run(*options: object) -> Run:
        status, _, err = cli("search", "--network", NAME, *QUICK, *options, "--output", "found")
        assert status == 0, err
        return Run(tmp_path / "found")

    return run


@pytest.fixture
def train(cli: Callable, tmp_path: Path) -> Callable[..., tuple[Run, str]]:
    """Train what was found, with these options, and return what that left and what it said."""

    def run(*options: object) -> tuple[Run, str]:
        status, out, err = cli("train", "--architecture", "found", *QUICK, *options, "--output", "small")
        assert status == 0, err
        return Run(tmp_path / "small"), out

    return run


@pytest.fixture
def weights(mynet: None, cli: Callable, tmp_path: Path) -> Callable[[int], Path]:
    """Save random weights of the user's network for so many classes."""

    def save(classes: int) -> Path:
        torch.save(open_network(NAME, classes, 1).state_dict(), tmp_path / "mine.pt")
        return Path("mine.pt")

    return save


def parameters_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in network.named_parameters()}


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        torch.testing.assert_close(tensor, second[name], rtol=0, atol=1e-20)


def cut_from(state: dict[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
    """The parameters of the found network as the first channels of these weights."""
    network = open_network(NAME, 10, 1)
    return parameters_of(tas.cut(network, read_plan(network, (1, 8, 8)), architecture, state))


def sorted_weights(path: Path) -> dict[str, Tensor]:
    network = open_network(NAME, 10, 1)
    state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
    return sorted_by_importance(state, read_plan(network, (1, 8, 8)))


def test_it_is_searched_trained_with_its_teacher_and_loaded_by_a_fresh_process(
    search: Callable, train: Callable, tmp_path: Path
) -> None:
    found = search("--flops-target", "0.4")
    architecture, metrics = Architecture.load(found.architecture), metrics_of(found)
    assert metrics["target_met"]
    assert architecture.network == NAME and architecture.image_size == 8
    assert architecture.depths.keys() == {"blocks"}

    small, out = train("--kd")
    assert f"teacher: training {NAME} once" in out
    assert metrics_of(small)["kd"] and metrics_of(small)["teacher_accuracy"] is not None
    network = tas.load(small.path)
    assert type(network).__name__ == "MyNet"
    assert tas.flops(network, (1, 8, 8)) == metrics["flops"] == metrics_of(small)["flops"]

    images = torch.randn(4, 1, 8, 8)
    torch.save(images, tmp_path / "images.pt")
    code = "import torch, tas; torch.save(tas.load('small')(torch.load('images.pt')), 'logits.pt')"
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, env=environment(), check=True)
    assert torch.equal(torch.load(tmp_path / "logits.pt"), network(images))


def test_the_found_network_starts_from_the_supernet_s_weights(search: Callable, train: Callable) -> None:
    found = search()
    small, _ = train("--init", "inherited", *STILL)
    assert_same(parameters_of(tas.load(small.path)), parameters_of(tas.load(found.path)))


def test_the_found_network_starts_from_the_best_channels_of_a_teacher_that_is_trained_for_it(
    search: Callable, train: Callable, tmp_path: Path
) -> None:
    found = search()
    small, out = train("--init", "teacher", *STILL)
    assert f"teacher: training {NAME} once" in out
    teacher = sorted_weights(only_run(tmp_path, "teachers").weights)
    assert_same(parameters_of(tas.load(small.path)), cut_from(teacher, Architecture.load(found.architecture)))
    assert metrics_of(small)["kd"] is False


def test_with_weights_for_these_classes_the_search_starts_from_them_and_they_are_the_teacher_as_they_are(
    search: Callable, train: Callable, weights: Callable, tmp_path: Path
) -> None:
    path = weights(10)
    found = search("--weights", path, *STILL)
    best = cut_from(sorted_weights(tmp_path / path), Architecture.load(found.architecture))
    assert_same(parameters_of(tas.load(found.path)), best)
    # `train` is told nothing of the weights: it reads the search's config.yaml.
    small, out = train("--kd", "--init", "teacher", *STILL)
    assert f"teacher: {NAME} with {path}, as it is" in out
    assert not (tmp_path / "runs" / "teachers").exists()
    assert_same(parameters_of(tas.load(small.path)), best)


def test_with_weights_for_other_classes_the_classifier_is_fresh_and_the_teacher_is_trained_from_them(
    search: Callable, train: Callable, weights: Callable, cli: Callable, tmp_path: Path
) -> None:
    path = weights(7)
    search("--weights", path)
    _, out = train("--kd", *STILL)
    assert f"teacher: training {NAME} once" in out
    teacher = load_file(only_run(tmp_path, "teachers").weights)
    given = torch.load(tmp_path / path)
    learnt = [name for name, _ in open_network(NAME, 10, 1).named_parameters() if not name.startswith("classify")]
    assert_same({name: teacher[name] for name in learnt}, {name: given[name] for name in learnt})
    assert teacher["classify.weight"].shape == (10, 32)

    status, out, _ = cli("train", "--network", NAME, "--weights", path, *QUICK)
    assert status == 0
    assert f"{path}, with a fresh classifier for 10 classes" in out


def test_a_fresh_classifier_follows_from_the_seed_and_a_run_s_architecture_leads_to_its_search_s_weights(
    search: Callable, train: Callable, weights: Callable, cli: Callable, tmp_path: Path
) -> None:
    search("--weights", weights(7))
    small, _ = train("--kd", *STILL)
    again = cli("train", "--kd", *QUICK, *STILL, "--architecture", small.path, "--output", "again")
    # The architecture of the training run leads on to the search: one teacher, trained once from its weights.
    assert again.status == 0 and "as trained before" in again.out
    only_run(tmp_path, "teachers")


def test_a_search_from_scratch_leaves_the_weights_to_the_teacher(
    search: Callable, train: Callable, weights: Callable, tmp_path: Path
) -> None:
    path = weights(10)
    found = search("--weights", path, "--init", "scratch", *STILL)
    left = load_file(found.weights)
    given = cut_from(sorted_weights(tmp_path / path), Architecture.load(found.architecture))
    assert all(not torch.equal(left[name], given[name]) for name in ("stem.0.weight", "head.weight"))
    _, out = train("--kd", *STILL)
    assert f"teacher: {NAME} with {path}, as it is" in out


def test_an_original_that_teaches_itself_is_trained_and_stays_as_it_is(
    weights: Callable, cli: Callable, tmp_path: Path
) -> None:
    path = weights(10)
    given = torch.load(tmp_path / path)
    assert cli("train", "--network", NAME, "--weights", path, "--kd", *QUICK).status == 0
    run = only_run(tmp_path, "train")
    trained = load_file(run.weights)
    assert not torch.equal(trained["classify.weight"], given["classify.weight"])
    assert metrics_of(run)["teacher_accuracy"] is not None


def test_widths_are_rounded_and_patterns_leave_layers_and_stages_alone(search: Callable) -> None:
    options = ("--round-to", "8", "--exclude", "[head,bl?cks]", "--flops-target", "0.7", "--tolerance", "0.3")
    found = Architecture.load(search(*options).architecture)
    assert set(found.widths) == {"stem.0", *(f"blocks.{block}.wide" for block in range(3)), "head"}
    assert found.widths["stem.0"] in (8, 16, 20)
    assert all(found.widths[f"blocks.{block}.wide"] in (16, 24, 32, 40) for block in range(3))
    assert (found.widths["head"], found.depths["blocks"]) == (32, 3)


def test_a_network_that_answers_one_class_and_what_it_teaches_are_remarked_on(mynet: None, cli: Callable) -> None:
    with open("mynet.py", "a", encoding="utf-8") as file:
        file.write("\n\ndef dull(num_classes, in_channels):\n    net = MyNet(num_classes, in_channels)\n")
        file.write("    nn.init.zeros_(net.classify.weight)\n    return net\n")
    dull = ["--network", "mynet:dull", *QUICK, *STILL]
    status, _, err = cli("train", *dull, "--output", "dull")
    assert status == 0
    remark = "test accuracy, 15.00%, is no better than one class for every image gives"
    assert f"tas train: warning: dull: its {remark}" in err
    status, _, err = cli("train", *dull, "--kd", "--teacher", "dull", "--output", "pupil")
    assert status == 0
    assert f"tas train: warning: the teacher dull: its {remark}" in err
    assert f"tas train: warning: pupil: its teachers' {remark}" in err
