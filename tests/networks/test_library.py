"""Networks of libraries with their trained weights, for which nothing is downloaded here."""

import pytest
import torch
import torchvision
from torch import Tensor, nn

from tas.errors import TasError
from tas.networks.library import open_library_network, pretrained_network, pretrained_statistics
from tas.networks.weights import fill


def stored(name: str) -> dict[str, Tensor]:
    """What torchvision would download: for 1000 classes, and with all outputs that the network had in training."""
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    return torchvision.models.get_model(name, **options).state_dict()


@pytest.fixture
def downloaded(monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """What torchvision finds when it downloads weights."""
    state: dict[str, Tensor] = {}
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *_, **__: state)
    return state


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "squeezenet1_1", "googlenet", "inception_v3"])
@pytest.mark.parametrize("classes", [10, 1000])
def test_trained_weights_come_whole_but_for_a_classifier_of_other_classes(name, classes, downloaded):
    downloaded.update(stored(name))
    network, complete = pretrained_network(f"torchvision/{name}", classes, 3)
    assert complete == (classes == 1000)
    own = network.state_dict()
    fresh = {key for key, tensor in own.items() if not torch.equal(tensor, downloaded[key])}
    assert len({key.rpartition(".")[0] for key in fresh}) == (0 if complete else 1)
    assert network.eval()(torch.randn(1, 3, 96, 96)).shape == (1, classes)


@pytest.mark.parametrize("error", [OSError("no\nnetwork"), RuntimeError("hash differs")])
def test_weights_that_cannot_be_had_are_refused_in_one_line(error, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    with pytest.raises(TasError, match=r"torchvision/resnet18: its weights cannot be loaded \((no network|hash)"):
        pretrained_network("torchvision/resnet18", 10, 3)


def test_only_the_classifier_may_be_of_another_shape():
    def network(hidden: int, classes: int) -> nn.Module:
        return nn.Sequential(nn.Linear(4, hidden), nn.Linear(hidden, classes))

    assert fill(network(6, 3), network(6, 3).state_dict())
    mine = network(6, 3)
    before = mine[1].weight.clone()
    given = network(6, 2).state_dict()
    assert not fill(mine, given)
    assert torch.equal(mine[0].weight, given["0.weight"]) and torch.equal(mine[1].weight, before)
    with pytest.raises(TasError, match="so they are another network's"):
        fill(network(6, 3), network(7, 3).state_dict())


def test_a_factory_is_told_only_what_it_asks_for(monkeypatch, tmp_path):
    (tmp_path / "asking.py").write_text(
        "from torch import nn\n"
        "def both(num_classes, in_channels): return nn.Linear(in_channels, num_classes)\n"
        "def none(): return nn.Linear(1, 1)\n"
        "class Own(nn.Linear):\n"
        "    def __init__(self, num_classes, depth=3): super().__init__(depth, num_classes)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    made = {name: open_library_network(f"asking:{name}", 7, 2) for name in ("both", "none", "Own")}
    assert {name: tuple(layer.weight.shape) for name, layer in made.items()} == {
        "both": (7, 2),
        "none": (1, 1),
        "Own": (7, 3),
    }


@pytest.mark.parametrize(
    ("name", "mean"),
    [
        ("torchvision/resnet18", (0.485, 0.456, 0.406)),
        ("timm/resnet18", (0.485, 0.456, 0.406)),
        ("timm/mobilevit_s", (0.0, 0.0, 0.0)),
        ("timm/inception_v3", (0.5, 0.5, 0.5)),
        ("timm/vit_tiny_patch16_224", (0.5, 0.5, 0.5)),
    ],
)
def test_images_are_normalised_as_those_that_the_weights_learned_from(name, mean):
    assert pretrained_statistics(name)[0] == mean
