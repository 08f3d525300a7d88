"""What images go through on their way to a network, a whole batch at a time: equal in distribution to torchvision's
transforms of single images, without their cost for each.

Random numbers come from torch's default generator on the CPU, so that they are the same wherever the images are.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


class Transform:
    """From uint8 images to a batch that a network takes.

    Args:
        *steps: From (N, C, H, W) to (N, C, H, W), one after the other; the last gives float32.
        each: What every image, (C, H, W), goes through by itself before, to have one size with the others; None where
            all have.
    """

    def __init__(self, *steps: Callable[[Tensor], Tensor], each: Callable[[Tensor], Tensor] | None = None) -> None:
        self.steps = steps
        self.each = each

    def __call__(self, images: Iterable[Tensor]) -> Tensor:
        """(N, C, H, W) float32 from (N, C, H, W) uint8 or from single (C, H, W), taken one at a time."""
        if self.each is not None:
            images = map(self.each, images)
        if not isinstance(images, Tensor):
            # Image files give the channels of a pixel side by side, and so they stay.
            images = channels_first(torch.stack([image.movedim(0, -1) for image in images]))
        for step in self.steps:
            images = step(images)
        return images


class RandomFlip:
    """Mirrors each image, left to right, with probability 1/2."""

    def __call__(self, images: Tensor) -> Tensor:
        return flip(images, torch.rand(len(images)) < 0.5)


@dataclass(frozen=True)
class RandomCrop:
    """Shifts each image by up to `padding` whole pixels in both directions, all shifts being equally likely; what comes
    in from outside is 0."""

    padding: int

    def __call__(self, images: Tensor) -> Tensor:
        top, left = torch.randint(2 * self.padding + 1, (2, len(images)))
        return crop(images, self.padding, top, left)


@dataclass(frozen=True)
class RandomAffine:
    """Turns each image by up to `degrees`, scales it by 1 - `scale` to 1 + `scale`, and shifts it by up to the share
    `shift` of its width and height, rounded to whole pixels; all uniformly."""

    degrees: float
    shift: float
    scale: float

    def __call__(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        angle, right, down, scale = torch.empty(4, len(images)).uniform_(-1, 1)
        right, down = (right * self.shift * width).round(), (down * self.shift * height).round()
        return affine(images, angle * self.degrees, right, down, 1 + scale * self.scale)


@dataclass(frozen=True)
class Normalise:
    """From bytes to float32, (x / 255 - mean) / deviation, each of a channel; in channels_last memory format."""

    mean: Sequence[float]
    deviation: Sequence[float]

    def __call__(self, images: Tensor) -> Tensor:
        mean, deviation = torch.tensor(self.mean), torch.tensor(self.deviation)
        # Spread over an image: the CPU is slow at repeating three numbers along the innermost dimension.
        shift, factor = (
            to(values, images).expand(*images.shape[2:], -1).contiguous().movedim(-1, 0)
            for values in (-mean / deviation, 1 / (255 * deviation))
        )
        return torch.addcmul(shift, images.to(torch.float32, memory_format=torch.channels_last), factor)


def flip(images: Tensor, mirrored: Tensor) -> Tensor:
    """Images (N, C, H, W), those mirrored left to right for which `mirrored`, (N,) bool, says so."""
    count = len(images)
    return take_images(torch.cat([images, images.flip(-1)]), torch.arange(count) + count * mirrored)


def crop(images: Tensor, padding: int, top: Tensor, left: Tensor) -> Tensor:
    """Images (N, C, H, W), with `padding` pixels of 0 on all sides, cut to their old size from `top` and `left`, each
    (N,) int64 between 0 and twice the padding."""
    height, width = images.shape[2:]
    padded = F.pad(images, (padding, padding, padding, padding))
    every = padded.unfold(2, height, 1).unfold(3, width, 1)  # (N, C, top, left, H, W), a view
    return every[torch.arange(len(images), device=images.device), :, to(top, images), to(left, images)]


def affine(images: Tensor, angle: Tensor, right: Tensor, down: Tensor, scale: Tensor) -> Tensor:
    """Images (N, C, H, W) uint8, each turned clockwise about its centre and scaled, then shifted; bilinear, 0 outside.

    Args:
        images: The images.
        angle: (N,), in degrees.
        right, down: (N,), in pixels.
        scale: (N,), above 1 enlarges.
    """
    height, width = images.shape[2:]
    angle, right, down, scale = (values.double() for values in (angle.deg2rad(), right, down, scale))
    cos, sin = angle.cos() / scale, angle.sin() / scale
    # Where a pixel comes from, as offsets from the centre in pixels: the inverse of turning, scaling and shifting.
    rows = [cos, sin, -cos * right - sin * down, -sin, cos, sin * right - cos * down]
    source = torch.stack(rows, dim=1).view(-1, 2, 3)
    # `affine_grid` measures in half widths and half heights.
    source *= torch.tensor([[1, height / width, 2 / width], [width / height, 1, 2 / height]])
    grid = F.affine_grid(to(source.float(), images), list(images.shape), align_corners=False)
    # Like torchvision, weigh by the share of a pixel that comes from inside once more than the interpolation does.
    inside = torch.ones_like(images[:, :1])
    sampled = F.grid_sample(torch.cat([images, inside], dim=1).float(), grid, padding_mode="zeros", align_corners=False)
    return (sampled[:, :-1] * sampled[:, -1:]).round().to(torch.uint8)


def take_images(images: Tensor, indices: Tensor) -> Tensor:
    """The images, (N, C, H, W), at indices (M,) int64: (M, C, H, W) in channels_last memory format."""
    # With the channels last such images are contiguous, and only then does `index_select` copy each as one block.
    return channels_first(images.movedim(1, -1).index_select(0, to(indices, images)))


def channels_first(images: Tensor) -> Tensor:
    """Images (N, H, W, C) as (N, C, H, W): a view, in channels_last memory format if they are contiguous."""
    return images.movedim(-1, 1)


def to(values: Tensor, images: Tensor) -> Tensor:
    """A small tensor where the images are, without waiting for the work that a GPU still has."""
    return values.to(images.device, non_blocking=True)
