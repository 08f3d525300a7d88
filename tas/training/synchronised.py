"""Batch norms whose statistics are those of the batches of all processes: as in one process with all their images."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, distributed
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

from tas.runs.processes import processes


class SynchronisedNorms(TorchFunctionMode):
    """Inside, `torch.nn.functional.batch_norm` takes the statistics of training from the batches of all processes.

    Lightning's own way makes other modules of a network's norms, which a supernet's cannot become, and needs a GPU.
    Every process has to come by the same norms in the same order, with as many images.
    """

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if function is F.batch_norm and processes() > 1:
            return batch_norm(*args, **kwargs or {})
        return function(*args, **kwargs or {})


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """As `torch.nn.functional.batch_norm`."""
    if not training:
        return F.batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    with torch.autocast(input.device.type, enabled=False):
        made: Tensor = OverProcesses.apply(input, running_mean, running_var, weight, bias, momentum, eps)
    return made


class OverProcesses(torch.autograd.Function):
    """Batch norm of a batch that is spread over the processes, in single precision or a higher one.

    The gradient is that of the sum of all processes' losses; DDP makes the mean of it. Arguments as of `batch_norm`, in
    training.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None,
        bias: Tensor | None,
        momentum: float,
        eps: float,
    ) -> Tensor:
        exact = x.to(torch.promote_types(x.dtype, torch.float32))
        others = [dim for dim in range(x.dim()) if dim != 1]
        own = torch.stack(torch.var_mean(exact, others, correction=0))
        each = [torch.empty_like(own) for _ in range(processes())]
        distributed.all_gather(each, own)
        variances, means = torch.stack(each).unbind(1)
        # The spread of the means is part of the variance; equal numbers of images make plain means of all.
        mean, variance = means.mean(0), variances.mean(0) + means.var(0, correction=0)
        images = processes() * x.numel() // x.shape[1]
        if images == 1:
            raise ValueError(f"Expected more than 1 value per channel when training, got input size {x.shape}")
        if running_mean is not None and running_var is not None:
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_((variance * images / (images - 1)).to(running_var.dtype), momentum)
        inverse = (variance + eps).rsqrt()
        normalised = (exact - at_channels(mean, x)) * at_channels(inverse, x)
        ctx.save_for_backward(normalised, inverse, weight)
        ctx.others, ctx.images, ctx.has_bias = others, images, bias is not None
        made = normalised if weight is None else normalised * at_channels(weight.to(exact.dtype), x)
        return (made if bias is None else made + at_channels(bias.to(exact.dtype), x)).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        normalised, inverse, weight = ctx.saved_tensors
        exact = gradient.to(normalised.dtype)
        sums = torch.stack([exact.sum(ctx.others), (exact * normalised).sum(ctx.others)])
        of_bias, of_weight = sums
        whole = sums.clone()
        distributed.all_reduce(whole)
        mean, along = whole / ctx.images
        slope = inverse if weight is None else inverse * weight.to(exact.dtype)
        centred = exact - at_channels(mean, exact) - normalised * at_channels(along, exact)
        return (
            (centred * at_channels(slope, exact)).to(gradient.dtype),
            None,
            None,
            None if weight is None else of_weight.to(weight.dtype),
            of_bias if ctx.has_bias else None,
            None,
            None,
        )


def at_channels(numbers: Tensor, x: Tensor) -> Tensor:
    """Numbers of channels, (C,), to be computed with beside x, (N, C, ...)."""
    return numbers.view(-1, *[1] * (x.dim() - 2))
