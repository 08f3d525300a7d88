import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tas.config.groups import Machine, Recipe
from tas.training.short import evaluate, train_apart

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")),
]


@pytest.mark.parametrize("device", DEVICES)
def test_accuracy_counts_all_images(device: str) -> None:
    images = torch.eye(4).reshape(4, 4)
    batches = [(images[:3], torch.tensor([0, 1, 0])), (images[3:], torch.tensor([3]))]
    assert evaluate(nn.Identity(), batches, torch.device(device)) == 0.75  # type: ignore[arg-type]


@pytest.mark.parametrize("device", DEVICES)
def test_a_network_is_judged_where_it_was_trained(device: str) -> None:
    classifier = nn.Linear(4, 2)
    network = nn.Sequential(nn.Flatten(), classifier)
    before = classifier.weight.detach().clone()
    images = TensorDataset(torch.rand(80, 1, 2, 2), torch.zeros(80, dtype=torch.int64))
    batches = DataLoader(images, batch_size=8)
    machine = Machine(accelerator="gpu" if device == "cuda" else "cpu", devices="1")
    used = train_apart(network, batches, 2, Recipe(epochs=2), machine, seed=0, label="trial")
    assert used.type == device
    assert classifier.weight.device.type == "cpu" and not torch.equal(classifier.weight, before)
    assert evaluate(network, batches, used) == 1
    assert classifier.weight.device.type == device


def bright_or_dark(momentum: float) -> tuple[nn.Module, DataLoader]:
    """A network whose norm has this momentum, and images that two steps tell apart."""
    torch.manual_seed(0)
    labels = torch.arange(64) % 2
    images = 100 + 10 * labels[:, None, None, None] + torch.rand(64, 1, 2, 2)
    norm = nn.BatchNorm2d(1, momentum=momentum)
    network = nn.Sequential(norm, nn.Flatten(), nn.Linear(4, 2))
    return network, DataLoader(TensorDataset(images, labels), batch_size=32, shuffle=True)


@pytest.mark.parametrize("momentum", [0.1, 0.0003])
def test_a_training_too_short_for_its_norms_is_judged_by_statistics_of_its_end(momentum: float) -> None:
    network, batches = bright_or_dark(momentum)
    machine = Machine(accelerator="cpu", devices="1")
    train_apart(network, batches, 2, Recipe(epochs=8), machine, seed=0, label="trial")
    assert evaluate(network, batches, torch.device("cpu")) == 1
    assert torch.isclose(network[0].running_mean, torch.tensor(105.5), atol=0.1)  # type: ignore[index, arg-type]
    assert network[0].momentum == momentum  # type: ignore[index]


def test_a_long_training_keeps_the_statistics_of_its_last_steps() -> None:
    network, batches = bright_or_dark(0.9)
    last = []
    network[0].register_forward_hook(lambda norm, *_: last.append(norm.running_var.clone()))  # type: ignore[index]
    train_apart(network, batches, 2, Recipe(epochs=8), Machine(accelerator="cpu", devices="1"), seed=0, label="trial")
    assert len(last) == 16 and torch.equal(network[0].running_var, last[-1])  # type: ignore[index, arg-type]
