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
