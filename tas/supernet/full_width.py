"""A supernet that computes everything at full width, and what is drawn as vectors: one shape for every network."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from tas.architecture import Architecture
from tas.cutting.cut import set_features
from tas.supernet.choice import Choice
from tas.supernet.layers import ChannelwiseModule, SearchableLayer, SlicedParameter
from tas.supernet.masked import MaskedVectors, Vector
from tas.supernet.norms import CandidateNorm
from tas.supernet.table import DrawTable


class FullWidth:
    """What is drawn of a supernet's widths and depths, and the vectors that its modules take of it.

    Args:
        network: The supernet's, of searchable modules; they take vectors from now on.
        widths: Its widths.
        depths: Its depths.
        compiled: Whether torch.compile takes it: a graph for each way in which it is used.
    """

    def __init__(
        self, network: nn.Module, widths: Mapping[str, Choice], depths: Mapping[str, Choice], compiled: bool = False
    ) -> None:
        self.network: Callable[[Tensor], Tensor] = torch.compile(network, dynamic=False) if compiled else network
        """Computes what is drawn."""
        self.table = DrawTable([*widths.values()], [*depths.values()])
        self.names = tuple(widths), tuple(depths)
        self.depths = tuple(depths.values())
        vectors: list[Vector] = []
        self.norms = [module for module in network.modules() if isinstance(module, CandidateNorm)]
        for module in network.modules():
            if isinstance(module, CandidateNorm | SearchableLayer | ChannelwiseModule | SlicedParameter):
                module.tas_vectors = vectors_of(module)
                vectors += module.tas_vectors.values()
        self.vectors = MaskedVectors(vectors, self.table.widths)
        # What takes one vector for a whole batch, and norms of what is always the same, cannot tell networks apart.
        self.side_by_side = not any(
            isinstance(module, SlicedParameter)
            or (isinstance(module, nn.modules.batchnorm._BatchNorm) and not getattr(module, "tas_vectors", {}))
            for module in network.modules()
        )
        """Whether several networks can be computed in one batch."""
        self.weights: Tensor
        self.mixing = False

    def sample(self, tau: float, samples: int, generator: torch.Generator, mix_depths: bool) -> None:
        """As `Supernet.sample`."""
        self.mixing = samples > 1
        self.take(*self.table.sample(tau, samples, generator, mix_depths))

    def force(self, architecture: Architecture) -> None:
        """As `Supernet.force`."""
        self.mixing = False
        widths, depths = self.names
        made = self.table.fixed([[architecture.widths[n] for n in widths]], [[architecture.depths[n] for n in depths]])
        self.take(*(rows[0] for rows in made))

    def force_side_by_side(self, architectures: Sequence[Architecture]) -> None:
        """Compute several networks at once, from now on: image i of a batch goes through network i % networks, and
        norms take the statistics of each network's own images."""
        self.mixing = False
        widths, depths = self.names
        self.take(
            *self.table.fixed(
                [[one.widths[n] for n in widths] for one in architectures],
                [[one.depths[n] for n in depths] for one in architectures],
            )
        )

    def take(self, weights: Tensor, *depths: Tensor) -> None:
        """Draw these."""
        self.weights = weights
        for choice, row in zip(self.depths, depths, strict=True):
            choice.draw(range(len(choice.candidates)), row)

    def probabilities(self) -> Tensor:
        """As `Supernet.probabilities`, in rows of the order of `names`: (choices, most candidates)."""
        return self.table.probabilities()

    def prepare(self) -> None:
        """Make the vectors for the next forward pass, and count it in the norms that learn."""
        self.vectors.make(self.weights, self.mixing)
        counts = [norm.num_batches_tracked for norm in self.norms if norm.training]
        if counts:
            torch._foreach_add_(counts, 1)


def vectors_of(module: nn.Module) -> dict[str, Vector]:
    """The vectors that a searchable module takes at full width, by the names under which it looks for them."""
    if isinstance(module, CandidateNorm):
        return {name: Vector(module, name, module.choice) for name in ("scales", "shifts")}
    if isinstance(module, SearchableLayer):
        part = module.tas_slice
        module.say_counts(module.weight)
        return {"there": Vector(None, "", part.choice)} if part.choice is not None and part.mixes else {}
    if isinstance(module, SlicedParameter):
        return {"there": Vector(None, "", module.features)}
    assert isinstance(module, ChannelwiseModule)
    features = module.tas_treated.features
    set_features(module, features.full)
    # A factor leaves 0 what is 0, but a norm's mean and what is added does not.
    names = ("weight", "bias") if isinstance(module, nn.modules.batchnorm._BatchNorm) else ("bias",)
    own = {name for name, parameter in module.named_parameters(recurse=False) if parameter.dim() == 1}
    return {name: Vector(module, name, features) for name in names if name in own}


def sliced(network: nn.Module) -> None:
    """Let the modules of a supernet's network slice again."""
    for module in network.modules():
        if isinstance(module, CandidateNorm | SearchableLayer | ChannelwiseModule | SlicedParameter):
            module.tas_vectors = {}
