"""A supernet that computes everything at full width, and what is drawn as vectors: one shape for every network."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from tas.architecture import Architecture
from tas.cutting.cut import set_features
from tas.reading.plan import Plan, Width
from tas.supernet.choice import Choice
from tas.supernet.features import Features
from tas.supernet.layers import ChannelwiseModule, SearchableLayer, SlicedParameter
from tas.supernet.masked import MaskedVectors, Vector
from tas.supernet.masked_maps import Map, MaskedMaps, MixedMap
from tas.supernet.norms import CandidateNorm
from tas.supernet.stage import DepthMixture
from tas.supernet.table import DrawTable


class FullWidth:
    """What is drawn of a supernet's widths and depths, and the vectors that its modules take of it.

    Args:
        network: The supernet's, of searchable modules; they take vectors from now on.
        widths: Its widths.
        depths: Its depths.
        stages: Those whose depth is searched, by their names.
        plan: Of the unpruned network.
        compiled: Whether torch.compile takes it: a graph for each way in which it is used.
    """

    def __init__(
        self,
        network: nn.Module,
        widths: Mapping[str, Choice],
        depths: Mapping[str, Choice],
        stages: Mapping[str, DepthMixture],
        plan: Plan,
        compiled: bool = False,
    ) -> None:
        self.network: Callable[[Tensor], Tensor] = torch.compile(network, dynamic=False) if compiled else network
        """Computes what is drawn."""
        self.modules = network
        """The same, as it was given."""
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
        self.maps: MaskedMaps | None = None
        """Where candidates are interpolated: what mixtures take in the place of vectors."""
        if any(choice.align == "interpolate" for choice in self.table.choices):
            of_features = [vector for vector in vectors if isinstance(vector.of, Features)]
            self.vectors_beside_maps = MaskedVectors(of_features, self.table.widths)
            own = [made for module in network.modules() if (made := map_of(module)) is not None]
            self.maps = MaskedMaps([*own, *maps_of_depths(stages, plan, widths)], self.table.widths)
        # What takes one vector for a whole batch, and norms of what is always the same, cannot tell networks apart.
        self.side_by_side = not any(
            isinstance(module, SlicedParameter)
            or (isinstance(module, nn.modules.batchnorm._BatchNorm) and not getattr(module, "tas_vectors", {}))
            for module in network.modules()
        )
        """Whether several networks can be computed in one batch."""
        self.weights: Tensor
        self.mixing = self.mixing_depths = False
        """Whether candidates of widths, and of depths, are mixed."""

    @property
    def device(self) -> torch.device:
        """Where what is drawn is."""
        return self.table.choices[0].logits.device

    def noise(self, generator: torch.Generator, mix_depths: bool) -> Tensor:
        """What `sample` draws by, on the CPU: (2, choices, most candidates). Arguments as for `Supernet.sample`."""
        return self.table.noise(generator, mix_depths)

    def sample(self, tau: float | Tensor, samples: int, noise: Tensor, mix_depths: bool) -> None:
        """As `Supernet.sample`, by noise on the device; tau may be there too."""
        self.mixing, self.mixing_depths = samples > 1, mix_depths
        self.take(*self.table.sample(tau, samples, noise))

    def rows_of(self, architectures: Sequence[Architecture]) -> Tensor:
        """What `fix` takes of architectures, on the CPU: (architectures, choices, most candidates)."""
        widths, depths = self.names
        return self.table.rows_of(
            [[*(one.widths[n] for n in widths), *(one.depths[n] for n in depths)] for one in architectures]
        )

    def fix(self, rows: Tensor) -> None:
        """Compute single networks, from now on.

        Args:
            rows: One of `rows_of`, on the device; or several, to be computed at once: image i of a batch goes through
                network i % networks, and norms take the statistics of each network's own images.
        """
        self.mixing = self.mixing_depths = False
        self.take(*self.table.parts(rows))

    def force(self, architecture: Architecture) -> None:
        """As `Supernet.force`."""
        (rows,) = self.rows_of([architecture])
        self.fix(rows.to(self.device, non_blocking=True))

    def forget(self) -> None:
        """Keep nothing of the last forward pass."""
        for vector in self.vectors.vectors:
            vector.value = None
        if self.maps is not None:
            self.maps.clear()
        self.table.forget()

    def release(self) -> None:
        """Let the modules slice again, and keep nothing of the last forward pass."""
        for module in self.modules.modules():
            if isinstance(module, CandidateNorm | SearchableLayer | ChannelwiseModule | SlicedParameter):
                module.tas_vectors = {}
        if self.maps is not None:
            self.maps.clear()

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
        if self.maps is not None and (self.mixing or self.mixing_depths):
            self.maps.make(self.weights, self.mixing_depths)
            self.vectors_beside_maps.make(self.weights, mixing=False)  # no channels beyond the widest
        else:
            if self.maps is not None:
                self.maps.clear()
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


def map_of(module: nn.Module) -> Map | None:
    """The map that a module which mixes candidates takes where they are interpolated."""
    choice: Choice | None = None
    if isinstance(module, CandidateNorm):
        choice = module.choice
    elif isinstance(module, SearchableLayer) and module.tas_slice.mixes:
        choice = module.tas_slice.choice
    if choice is None:
        return None
    assert isinstance(module, CandidateNorm | SearchableLayer)
    mixed = tuple(MixedMap(count, choice, index) for index, count in enumerate(choice.candidates))
    norm = module if isinstance(module, CandidateNorm) else None
    module.tas_map = Map(mixed, choice.candidates[-1], (choice,), norm)
    return module.tas_map


def maps_of_depths(stages: Mapping[str, DepthMixture], plan: Plan, widths: Mapping[str, Choice]) -> list[Map]:
    """The maps of stages whose blocks end with feature maps of unequal width."""
    maps = []
    for name, mixture in stages.items():
        ends = plan.stages[name].ends  # none where all blocks end with one width
        ends = tuple(ends[depth - 1] for depth in mixture.choice.candidates) if ends else ()
        added = [tuple(widths[own] for own in sorted(added_up(plan, end))) for end in ends]
        mixture.map = None
        if len(set(added)) > 1:
            mixed = tuple(MixedMap(own) for own in added)
            mixture.map = Map(mixed, plan.channels(ends[-1]), added[-1], apart=True)
            maps.append(mixture.map)
    return maps


def added_up(plan: Plan, width: Width) -> set[str]:
    """The widths of what is added up where a width is written: its own, and of shortcuts that are filled up for it."""
    if isinstance(width, int):
        return set()
    found = {width}
    for layer in plan.layers:
        if layer.if_unequal and layer.writes.source == width:
            for segment in layer.reads:
                stage = plan.stages.get(str(segment.source))
                for source in (segment.source,) if stage is None else stage.ends:
                    found |= added_up(plan, source)
    return found
