"""Distillation of features: beside the logits, a student learns what its teachers see at the ends of their stages.

Attention transfer (Zagoruyko & Komodakis 2017, "Paying More Attention to Attention") compares where two networks are
active, so their numbers of channels may differ. Hints (Romero et al. 2015, "FitNets") compare the features themselves,
of which a regressor makes as many as the teacher has.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tas.errors import TasError
from tas.reading.layer_calls import dtype_of, without_storage
from tas.reading.plan import Plan


def attention_map(features: Tensor) -> Tensor:
    """Where a network is active: features (N, C, H, W) to (N, H W), the sum of their squares over the channels, of
    Euclidean length 1 for each image."""
    return F.normalize(features.float().square().sum(1).flatten(1))


def attention_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Half the mean square, over images and places, of the difference of two attention maps: a scalar.

    Zagoruyko & Komodakis's eq. 2 with F_sum^2. The square and the mean are those of their experiments, whose beta is
    1000 under them. Nothing of it depends on the scale of either network's features.

    Args:
        student: (N, C, H, W).
        teacher: (N, C', H, W), without gradient.
    """
    return 0.5 * F.mse_loss(attention_map(student), attention_map(teacher))


def hint_loss(guided: Tensor, hint: Tensor) -> Tensor:
    """Half the mean square of the difference: a scalar.

    Romero et al.'s eq. 3, with a mean in place of the sum, so that the weight does not depend on the features' size.

    Args:
        guided: What the regressor makes of the student's features, (N, C', H, W).
        hint: The teacher's features, of the same shape, without gradient.
    """
    return 0.5 * F.mse_loss(guided.float(), hint.float())


def stage_ends(plan: Plan, depths: Mapping[str, int]) -> tuple[str, ...]:
    """The modules whose outputs are those of the stages: of each stage the last block that is kept, in forward order.

    Args:
        plan: Of the unpruned network.
        depths: Stage -> blocks kept.
    """
    last = [(stage.container, stage.blocks[depths[name] - 1]) for name, stage in plan.stages.items()]
    return tuple(f"{container}.{block}".lstrip(".") for container, block in last)


@dataclass(frozen=True)
class Staged:
    """A network and where its stages end."""

    network: nn.Module
    ends: tuple[str, ...]
    """Names of modules, in forward order."""

    def shapes(self, input_shape: Sequence[int]) -> list[torch.Size]:
        """The shapes (1, C, H, W) at the ends for one image (C, H, W). TasError unless they are feature maps."""
        twin = without_storage(self.network)
        outputs = Outputs(Staged(twin, self.ends))
        with torch.no_grad(), torch.device("meta"):
            twin(torch.empty(1, *input_shape, dtype=dtype_of(twin)))
        shapes = [output.shape for output in outputs.take()]
        for name, shape in zip(self.ends, shapes):
            if len(shape) != 4:
                raise TasError(f"the stage that ends with {name} gives {tuple(shape)}; it must give feature maps")
        return shapes


class Outputs:
    """What the ends of a network's stages gave in its latest forward pass, by hooks that the network knows nothing of.

    Args:
        staged: The network; it keeps the hooks until `remove`.
    """

    def __init__(self, staged: Staged) -> None:
        self.ends = staged.ends
        self.kept: dict[str, Tensor] = {}
        self.handles = [
            staged.network.get_submodule(name).register_forward_hook(keeper(self.kept, name)) for name in self.ends
        ]

    def take(self) -> list[Tensor]:
        """The outputs, (N, C, H, W) each, in forward order; they are forgotten here, and their memory can go."""
        return [self.kept.pop(name) for name in self.ends]

    def remove(self) -> None:
        """Take the hooks away."""
        for handle in self.handles:
            handle.remove()


def keeper(kept: dict[str, Tensor], name: str) -> Callable[[nn.Module, Any, Tensor], None]:
    """A forward hook that keeps a module's output under a name."""

    def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
        kept[name] = output

    return hook


class FeatureDistillation(nn.Module):
    """The feature terms of a student's loss. Its parameters are the regressors', which train with the student.

    FitNets trains the student's first half on the hint alone, and then the whole student on the logits; here there is
    one training, with the hint as a term of the loss. Its regressor is a 1x1 convolution, since both maps have the same
    height and width, and has no non-linearity after it, since that of a block's end is not known.

    Args:
        student: Its hooks are there between `watch` and `unwatch`.
        teachers: Have as many stages as the student, with outputs of the same heights and widths; channels may differ.
        input_shape: (C, H, W) of one image.
        attention_transfer: beta of the attention loss, a sum over the ends of all stages; 0 leaves it out.
        hints: Weight of the hint loss at the end of the middle stage, the earlier one of two; 0 leaves it out.

    Raises:
        TasError: A network has no stages, or the stages do not fit together.
    """

    def __init__(
        self,
        student: Staged,
        teachers: Sequence[Staged],
        input_shape: Sequence[int],
        *,
        attention_transfer: float,
        hints: float,
    ) -> None:
        super().__init__()
        self.networks = (student, *teachers)
        self.attention_transfer = attention_transfer
        self.hints = hints
        own, *others = [staged.shapes(input_shape) for staged in self.networks]
        if not own:
            raise TasError("the network has no stages, chains of blocks, at whose ends features could be compared")
        for shapes in others:
            sizes = [[tuple(shape[2:]) for shape in part] for part in (own, shapes)]
            if sizes[0] != sizes[1]:
                raise TasError(
                    f"the stages of the network end at {listed(sizes[0])}, the teacher's at {listed(sizes[1])}; "
                    "they must be as many, of the same heights and widths"
                )
        self.middle = (len(own) - 1) // 2
        wide = own[self.middle][1]
        self.regressors = nn.ModuleList(
            nn.Conv2d(wide, shapes[self.middle][1], 1) for shapes in others if self.hints > 0
        )
        self.outputs: list[Outputs] = []

    def watch(self) -> None:
        """Begin to keep the features of the forward passes."""
        self.outputs = [Outputs(staged) for staged in self.networks]

    def unwatch(self) -> None:
        """End it; the networks are then as they were."""
        for outputs in self.outputs:
            outputs.remove()
        self.outputs = []

    def forward(self) -> dict[str, Tensor]:
        """The weighted terms for the latest forward pass of all networks, by name: scalars, means over the teachers."""
        student, *teachers = [outputs.take() for outputs in self.outputs]
        terms: dict[str, Tensor] = {}
        if self.attention_transfer > 0:
            losses = [attention_loss(*pair) for teacher in teachers for pair in zip(student, teacher)]
            terms["attention_transfer"] = self.attention_transfer * torch.stack(losses).sum() / len(teachers)
        if self.hints > 0:
            losses = [
                hint_loss(regressor(student[self.middle]), teacher[self.middle])
                for regressor, teacher in zip(self.regressors, teachers)
            ]
            terms["hints"] = self.hints * torch.stack(losses).mean()
        return terms


def listed(sizes: Sequence[tuple[int, ...]]) -> str:
    """Heights and widths in words."""
    return ", ".join("x".join(map(str, size)) for size in sizes) or "none"
