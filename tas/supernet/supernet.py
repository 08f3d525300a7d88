"""A plain network made searchable from outside: all candidate networks at once, sharing weights."""

import copy
from collections import defaultdict
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from tas.architecture import Architecture
from tas.networks.cifar_resnet import Add
from tas.plan import Plan
from tas.space import SearchSpace
from tas.supernet.choice import Choice
from tas.supernet.layers import PaddedAdd, SearchableConv2d, SearchableStage, SlicedLinear
from tas.supernet.sampling import gumbel_weights, sample_candidates


class Supernet(nn.Module):
    """A copy of a network in which layers and stages are replaced by searchable ones.

    A forward pass computes what was last set by `sample` or `force`; before that, the unpruned network.

    Args:
        network: The unpruned network; its class, its wiring and its weights are kept, it is not changed.
        plan: What it is made of.
        space: The candidates.
    """

    def __init__(self, network: nn.Module, plan: Plan, space: SearchSpace) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        self.space = space
        self.widths = {name: Choice(candidates) for name, candidates in space.widths.items()}
        self.depths = {name: Choice(candidates) for name, candidates in space.depths.items()}
        # The layers own the choices: plain dicts do not register them a second time.
        modules = dict(self.network.named_modules())
        for layer in plan.layers:
            if layer.name not in modules:
                continue  # a projection that the unpruned network does not have; the sum pads instead
            module = self.network.get_submodule(layer.name)
            if isinstance(module, nn.Linear):
                self.replace(layer.name, SlicedLinear(module))
                continue
            norm = None if layer.norm is None else self.network.get_submodule(layer.norm)
            assert isinstance(module, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d | None)
            assert isinstance(layer.writes, str)
            self.replace(layer.name, SearchableConv2d(module, norm, self.widths[layer.writes]))
            if layer.norm is not None:
                self.replace(layer.norm, nn.Identity())
        for name, module in list(self.network.named_modules()):
            if isinstance(module, Add):
                self.replace(name, PaddedAdd())
        for name, choice in self.depths.items():
            blocks = self.network.get_submodule(name)
            assert isinstance(blocks, nn.Sequential)
            self.replace(name, SearchableStage(blocks, choice))

    def replace(self, name: str, module: nn.Module) -> None:
        """Put a module in the place of the one of that name."""
        parent, _, child = name.rpartition(".")
        setattr(self.network.get_submodule(parent), child, module)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, in_channels, H, W) to logits (N, num_classes)."""
        return self.network(x)

    def sample(self, tau: float, samples: int, generator: torch.Generator) -> None:
        """Draw what the next forward passes compute: `samples` widths of each convolution, all depths of each stage.

        Args:
            tau: Temperature of the Gumbel-softmax.
            samples: |I|, how many candidates of each width are mixed; with 1 the logits get no gradient.
            generator: Source of the draw, on the CPU.
        """
        for choices, alike in batches(self.widths):
            weights = gumbel_weights(alike, tau, generator)
            indices = sample_candidates(weights, min(samples, alike.shape[-1]), generator)
            chosen = weights.gather(-1, indices.to(weights.device))
            chosen = chosen / chosen.sum(-1, keepdim=True)
            for choice, row, weight in zip(choices, indices.tolist(), chosen, strict=True):
                choice.draw(row, weight)
        for choices, alike in batches(self.depths):
            for choice, weight in zip(choices, gumbel_weights(alike, tau, generator), strict=True):
                choice.draw(range(len(choice.candidates)), weight)

    def force(self, architecture: Architecture) -> None:
        """Compute one architecture alone, from now on."""
        for name, choice in self.widths.items():
            choice.fix(architecture.widths[name])
        for name, choice in self.depths.items():
            choice.fix(architecture.depths[name])

    def probabilities(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """For each width and for each depth, the probability of every candidate, differentiable in the logits."""
        widths = {name: choice.probabilities() for name, choice in self.widths.items()}
        return widths, {name: choice.probabilities() for name, choice in self.depths.items()}

    def architecture_parameters(self) -> list[nn.Parameter]:
        """The logits of every width and depth."""
        return [choice.logits for choice in (*self.widths.values(), *self.depths.values())]

    def weight_parameters(self) -> list[nn.Parameter]:
        """All parameters but the logits."""
        logits = {id(parameter) for parameter in self.architecture_parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in logits]


def batches(choices: dict[str, Choice]) -> Iterator[tuple[list[Choice], Tensor]]:
    """The choices with equally many candidates, and their logits as (choices, candidates): one draw serves them all."""
    groups: dict[int, list[Choice]] = defaultdict(list)
    for choice in choices.values():
        groups[len(choice.candidates)].append(choice)
    for group in groups.values():
        yield group, torch.stack([choice.logits for choice in group])
