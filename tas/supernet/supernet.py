"""A plain network made searchable from outside: all candidate networks at once, sharing weights."""

import copy
from collections import defaultdict
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from tas.architecture import Architecture
from tas.cost.tables import Probabilities
from tas.reading.plan import Channelwise, Layer
from tas.runs.processes import processes
from tas.space.space import SearchSpace
from tas.supernet.choice import Alignment, Choice, Compute
from tas.supernet.features import Features
from tas.supernet.full_width import FullWidth
from tas.supernet.layers import ChannelwiseModule, SearchableLayer, Slice, SlicedParameter
from tas.supernet.norms import CandidateNorm, prepare
from tas.supernet.sampling import gumbel_weights, sample_candidates
from tas.supernet.stage import PaddedAdd, searchable_stage

COPYING = (nn.Hardtanh, nn.SiLU, nn.Hardswish, nn.Hardsigmoid, nn.Mish)
"""Activations, ReLU6 among them, whose gradient needs what they are given: in place they copy that first."""


class Supernet(nn.Module):
    """A copy of a network in which layers and blocks are searchable; it stays what it is otherwise.

    A forward pass computes what was last set by `sample` or `force`; before that, the unpruned network.

    Args:
        network: The unpruned network; its class, its wiring and its weights are kept, it is not changed.
        space: What it is made of, and the candidates.
        align: How feature maps of candidates are added: pad, or interpolate (the paper's CWI).
    """

    def __init__(self, network: nn.Module, space: SearchSpace, align: Alignment = "pad") -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        self.space = space
        like = next(network.parameters())  # the device and the type of number
        units = space.plan.units
        self.widths = {
            name: Choice(candidates, align, units.get(name, 1)).to(like) for name, candidates in space.widths.items()
        }
        self.depths = {name: Choice(candidates, align).to(like) for name, candidates in space.depths.items()}
        # Registered here, once each; the layers that share a choice only refer to it.
        choices = {"width": self.widths, "depth": self.depths}
        self.choices = nn.ModuleDict(
            {f"{kind}/{name.replace('.', '/')}": own[name] for kind, own in choices.items() for name in own}
        )
        self.homes = dict(self.network.named_modules())
        """Name in the unpruned network -> the module that has its parameters here."""
        for layer in space.plan.layers:
            if layer.name in self.homes:
                self.make_layer(layer)
            # Else it is a projection that the unpruned network does not have; the sum pads instead.
        for item in space.plan.channelwise:
            self.make_channelwise(item)
        for name in space.plan.additions:
            parent, _, child = name.rpartition(".")
            setattr(self.network.get_submodule(parent), child, PaddedAdd())
        self.norms = [module for module in self.homes.values() if isinstance(module, CandidateNorm)]
        self.stages = {
            name: searchable_stage(map(self.network.get_submodule, stage.paths()), self.depths[name])
            for name, stage in space.plan.stages.items()
            if len(self.depths[name].candidates) > 1
        }
        self.in_place = [own for own in self.network.modules() if isinstance(own, COPYING) and own.inplace]
        """Activations that overwrite what they are given."""
        self.full_width: FullWidth | None = None
        """What is drawn where everything is computed at full width; None where it is sliced."""

    def make_layer(self, layer: Layer) -> None:
        """Make a convolution or linear layer searchable, and the norm that it feeds."""
        module, source = self.homes[layer.name], layer.writes.source
        if isinstance(module, nn.Conv2d) and module.groups > 1:
            return  # it works channel by channel, and is made so
        choice = self.widths[source] if isinstance(source, str) else None
        reads = Features.of(self.space.plan, layer.reads, self.widths)
        if choice is None and all(part.choice is None for part in reads.parts):
            return  # it is always the same
        norm = None if layer.norm is None or choice is None else CandidateNorm.on(self.homes[layer.norm], choice)
        SearchableLayer.on(module, Slice(reads, choice, layer.norm is None, norm))

    def make_channelwise(self, item: Channelwise) -> None:
        """Make what treats every channel by itself take those that are there."""
        features = Features.of(self.space.plan, item.segments, self.widths)
        if not item.bare:
            ChannelwiseModule.on(self.homes[item.name], features, item.dim)
            return
        owner, _, name = item.name.rpartition(".")
        parametrize.register_parametrization(self.homes[owner], name, SlicedParameter(features, item.dim))

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, in_channels, H, W) to logits (N, num_classes)."""
        for stage in self.stages.values():
            stage.ends.clear()
        for activation in self.in_place:
            activation.inplace = not torch.is_grad_enabled()
        if self.full_width is not None:
            self.full_width.prepare()
            return self.full_width.network(x)
        prepare(self.norms)
        return self.network(x)

    @property
    def compute(self) -> Compute:
        """How it computes at present."""
        return "sliced" if self.full_width is None else "masked"

    @property
    def layout(self) -> torch.memory_format:
        """Of images and weights: channels_last is the fastest, but norms of several networks side by side find each
        one's channels together only in the other. DDP garbles gradients of weights whose layout changes."""
        stays = self.full_width is None or processes() > 1
        return torch.channels_last if stays else torch.contiguous_format

    def compute_by(self, compute: Compute, compiled: bool = False) -> None:
        """Go over to another way of computing the same, if it is another: the unpruned network is set then.

        Args:
            compute: The way.
            compiled: Whether torch.compile takes the network, where it is masked.
        """
        if compute == self.compute:
            return
        for choice in (*self.widths.values(), *self.depths.values()):
            choice.masked = compute == "masked"
        if compute == "masked":
            made = (self.network, self.widths, self.depths, self.stages, self.space.plan)
            self.full_width = FullWidth(*made, compiled)
        else:
            assert self.full_width is not None
            self.full_width.release()
            self.full_width = None
        self.to(memory_format=self.layout)
        self.force(self.space.full)

    def sample(self, tau: float, samples: int, generator: torch.Generator, mix_depths: bool = True) -> None:
        """Draw what the next forward passes compute: `samples` widths of each convolution, all depths of each stage.

        Args:
            tau: Temperature of the Gumbel-softmax.
            samples: |I|, how many candidates of each width are mixed; with 1 the logits get no gradient.
            generator: Source of the draw, on the CPU.
            mix_depths: Whether a stage mixes its depths (eq. 5). If not, one is drawn, at its probability whatever tau
                is, and the logits of depths get no gradient.
        """
        if self.full_width is not None:
            noise = self.full_width.noise(generator, mix_depths)
            self.full_width.sample(tau, samples, noise.to(self.full_width.device, non_blocking=True), mix_depths)
            return
        for choices, alike in batches(self.widths):
            weights = gumbel_weights(alike, tau, generator)
            indices = sample_candidates(weights, min(samples, alike.shape[-1]), generator)
            chosen = weights.gather(-1, indices.to(weights.device))
            chosen = chosen / chosen.sum(-1, keepdim=True)
            for choice, row, weight in zip(choices, indices.tolist(), chosen, strict=True):
                choice.draw(row, weight)
        for choices, alike in batches(self.depths):
            for choice, weight in zip(choices, gumbel_weights(alike, tau, generator), strict=True):
                if mix_depths:
                    choice.draw(range(len(choice.candidates)), weight)
                else:
                    choice.fix(choice.candidates[int(weight.argmax())])

    def force(self, architecture: Architecture) -> None:
        """Compute one architecture alone, from now on."""
        if self.full_width is not None:
            self.full_width.force(architecture)
            return
        for name, choice in self.widths.items():
            choice.fix(architecture.widths[name])
        for name, choice in self.depths.items():
            choice.fix(architecture.depths[name])

    def weights(self, architecture: Architecture) -> dict[str, Tensor]:
        """The state of the unpruned network as one architecture uses it: of each norm, the chosen candidate's.

        `tas.cut` takes the architecture's part of it.
        """
        norms = {layer.norm: layer.writes.source for layer in self.space.plan.layers if layer.norm in self.homes}
        state: dict[str, Tensor] = {}
        for name, module in self.homes.items():
            if isinstance(module, CandidateNorm):
                tensors = module.tensors(architecture.widths[str(norms[name])])
            else:
                tensors = own_tensors(module)
            state |= {f"{name}.{key}".lstrip("."): tensor.detach().clone() for key, tensor in tensors.items()}
        return state

    def probabilities(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """For each width and for each depth, the probability of every candidate, differentiable in the logits."""
        return softmaxes(self.widths), softmaxes(self.depths)

    @torch.no_grad()
    def set_probabilities(self, widths: Probabilities, depths: Probabilities) -> None:
        """Give every candidate a probability: for a strategy that learns them by other means than the logits' gradient.

        Args:
            widths: Width -> its candidates' probabilities, (candidates,).
            depths: Stage -> the same.
        """
        for choices, probabilities in ((self.widths, widths), (self.depths, depths)):
            for name, choice in choices.items():
                choice.logits.copy_(probabilities[name].log())

    def architecture_parameters(self) -> list[nn.Parameter]:
        """The logits of every width and depth."""
        return [choice.logits for choice in (*self.widths.values(), *self.depths.values())]

    def weight_parameters(self) -> list[nn.Parameter]:
        """All parameters but the logits."""
        logits = {id(parameter) for parameter in self.architecture_parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in logits]


def own_tensors(module: nn.Module) -> dict[str, Tensor]:
    """The parameters and buffers of a module itself; whole, where the supernet has made them sliced."""
    state = module.state_dict(keep_vars=True).items()
    tensors = {key: tensor for key, tensor in state if "." not in key and isinstance(tensor, Tensor)}
    if parametrize.is_parametrized(module):
        made = module.parametrizations
        assert isinstance(made, nn.ModuleDict)
        for key, whole in made.items():
            if isinstance(whole, parametrize.ParametrizationList) and isinstance(whole[0], SlicedParameter):
                tensors[key] = whole.original
    return tensors


def batches(choices: dict[str, Choice]) -> Iterator[tuple[list[Choice], Tensor]]:
    """The choices with equally many candidates, and their logits as (choices, candidates): one draw serves them all."""
    groups: dict[int, list[Choice]] = defaultdict(list)
    for choice in choices.values():
        groups[len(choice.candidates)].append(choice)
    for group in groups.values():
        yield group, torch.stack([choice.logits for choice in group])


def softmaxes(choices: dict[str, Choice]) -> dict[str, Tensor]:
    """softmax of the logits of every choice."""
    rows = {id(choice): row for alike, logits in batches(choices) for choice, row in zip(alike, logits.softmax(-1))}
    return {name: rows[id(choice)] for name, choice in choices.items()}
