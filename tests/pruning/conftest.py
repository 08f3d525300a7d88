from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from tas.architecture import Architecture
from tas.config import PruneOptions
from tas.cost.budget import Budget
from tas.cost.measures import MEASURES
from tas.cutting.build import build
from tas.data.digits import Digits
from tas.data.images import ImageData, Images
from tas.networks import open_network
from tas.pruning.task import PruneTask
from tas.reading.readers import read_plan
from tas.runs.run import Run


class ColourDigits(Digits):
    """64 digits as colour images of 32x32."""

    in_channels = 3
    image_size = 32

    def load(self, train: bool) -> Images:
        images = super().load(train)
        pixels = nn.functional.interpolate(images.pixels[:64].float(), 32).to(torch.uint8)
        return Images(pixels.expand(-1, 3, -1, -1).contiguous(), images.labels[:64])


@pytest.fixture
def make_task(tmp_path: Path, few_digits: None) -> Callable[..., PruneTask]:
    """A task on a few digits; of a test image it would have to say so."""

    def make(
        method: str,
        name: str = "resnet20",
        share: float = 0.5,
        network: nn.Module | None = None,
        measure: str = "flops",
        **options,
    ) -> PruneTask:
        batch = options.setdefault("batch_size", 32)
        data: ImageData = (ColourDigits if name.startswith("torchvision") else Digits)(batch_size=batch)
        data.setup()
        data.test_dataloader = None  # type: ignore[method-assign]
        torch.manual_seed(0)
        network = open_network(name, 10, data.in_channels) if network is None else network
        shape = (data.in_channels, data.image_size, data.image_size)
        plan = read_plan(network, shape, name)
        full = Architecture(name, 10, data.in_channels, data.image_size, plan.widths, plan.depths())
        budget = Budget(share * MEASURES[measure].exact(plan, full), 0.02, MEASURES[measure])
        settings = {"epochs": 1, "accelerator": "cpu", **options}
        settings |= {"candidates": 2} if method == "random" and "candidates" not in options else {}
        settings |= {"network": name, "method": method, f"{measure}_target": share}
        run = Run(tmp_path / f"{method}-run", go_on=True)
        chosen = PruneOptions.of(**settings)
        run.start(chosen)
        return PruneTask(network, plan, full, True, data, (budget,), chosen, run)

    return make


def same_outputs(architecture: Architecture, network: nn.Module, shape: tuple[int, int, int]) -> bool:
    """Whether the built network of an architecture takes a network's weights, and then says the same."""
    built = build(architecture)
    built.load_state_dict(network.state_dict())
    images = torch.rand(2, *shape)
    with torch.no_grad():
        return torch.allclose(built.eval()(images), network.eval()(images), rtol=1e-4, atol=1e-5)
