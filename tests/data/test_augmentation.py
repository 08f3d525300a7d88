from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import pytest
import torch
from scipy.stats import chisquare, ks_2samp
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as single

from tas.data import augmentation
from tas.data.augmentation import (
    Normalise,
    RandomAffine,
    RandomCrop,
    RandomFlip,
    Transform,
    affine,
    crop,
    flip,
    take_images,
)

AFFINE = v2.RandomAffine(10, (1 / 8, 1 / 8), (0.9, 1.1), interpolation=v2.InterpolationMode.BILINEAR)
"""As RandomAffine(10, 1 / 8, 0.1), for single images."""


def noise(count: int, channels: int = 3, height: int = 8, width: int = 8, packed: bool = False) -> Tensor:
    """Random images; packed ones have the channels of a pixel side by side in memory."""
    shape = (count, channels, height, width)
    images = torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return images.contiguous(memory_format=torch.channels_last) if packed else images


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("count", [1, 5])
def test_those_images_are_mirrored_that_are_said_to_be(count: int, packed: bool) -> None:
    images, mirrored = noise(count, width=7, packed=packed), torch.tensor([True, False, False, True, True])[:count]
    expected = [single.horizontal_flip(image) if mirror else image for image, mirror in zip(images, mirrored)]
    assert torch.equal(flip(images, mirrored), torch.stack(expected))


@pytest.mark.parametrize("packed", [False, True])
def test_every_crop_is_that_of_torchvision(packed: bool) -> None:
    images = noise(81, height=9, packed=packed)
    top, left = torch.cartesian_prod(torch.arange(9), torch.arange(9)).T
    expected = [
        single.crop(single.pad(image, [4]), row, column, 9, 8)
        for image, row, column in zip(images, top.tolist(), left.tolist())
    ]
    assert torch.equal(crop(images, 4, top, left), torch.stack(expected))


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 8, 8), (3, 16, 16), (2, 9, 14)])
def test_an_affine_map_is_that_of_torchvision(channels: int, height: int, width: int) -> None:
    images = noise(200, channels, height, width)
    torch.manual_seed(0)
    parameters = [AFFINE.make_params([image]) for image in images]
    expected = torch.stack([AFFINE.transform(image, drawn) for image, drawn in zip(images, parameters)])
    angle, scale = (torch.tensor([drawn[name] for drawn in parameters]) for name in ("angle", "scale"))
    right, down = torch.tensor([drawn["translate"] for drawn in parameters]).T
    found = affine(images, angle, right, down, scale)
    assert found.dtype == torch.uint8 and found.shape == images.shape
    # Where a level lies halfway between two whole numbers, the last bit of a float decides.
    different = (found.int() - expected.int()).abs()
    assert different.max() <= 1 and different.count_nonzero() <= found.numel() / 1e4


def test_half_the_images_are_mirrored_each_by_itself() -> None:
    images = torch.zeros(8000, 1, 1, 2, dtype=torch.uint8)
    images[..., 0] = 1
    torch.manual_seed(0)
    mirrored = (RandomFlip()(images)[:, 0, 0, 1] == 1).view(-1, 4).tolist()
    groups = Counter(tuple(group) for group in mirrored)  # neighbours independent: all sixteen alike
    assert len(groups) == 16 and chisquare(list(groups.values())).pvalue > 1e-3


def test_all_shifts_of_a_crop_and_their_mirror_images_are_equally_likely() -> None:
    images = torch.zeros(1, 1, 9, 9, dtype=torch.uint8)
    images[..., 4, 4], images[..., 4, 5] = 2, 1
    torch.manual_seed(0)
    batch = RandomCrop(4)(RandomFlip()(images.repeat(162 * 50, 1, 1, 1)))
    marks = batch.flatten(1).argmax(1).tolist()
    # Of a mark in the first or last column the neighbour may have left the image; elsewhere it tells which way round.
    sides = torch.nn.functional.pad(batch, (1, 1)).flatten(2)
    right = [int(sides[i, 0, (mark // 9) * 11 + mark % 9 + 2]) for i, mark in enumerate(marks)]
    shifts = Counter(marks)
    assert len(shifts) == 81 and chisquare(list(shifts.values())).pvalue > 1e-3
    joint = Counter((mark, side) for mark, side in zip(marks, right) if 0 < mark % 9 < 8)
    assert len(joint) == 2 * 63 and chisquare(list(joint.values())).pvalue > 1e-3


def test_affine_maps_are_drawn_as_by_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Tensor] = []

    def record(images: Tensor, *parameters: Tensor) -> Tensor:
        drawn.extend(parameters)
        return images

    monkeypatch.setattr(augmentation, "affine", record)
    images = noise(1, height=16, width=8).expand(4000, -1, -1, -1)
    torch.manual_seed(0)
    RandomAffine(10, 1 / 8, 0.1)(images)
    theirs = [AFFINE.make_params([images[0]]) for _ in range(4000)]
    angle, right, down, scale = drawn
    for mine, name in ((angle, "angle"), (scale, "scale")):
        assert ks_2samp(mine.numpy(), [parameters[name] for parameters in theirs]).pvalue > 1e-3
    # Shifts are rounded: those by the most pixels are half as likely as the others.
    for mine, place, most in ((right, 0, 1), (down, 1, 2)):
        expected = [4000 / (2 * most) / (2 if abs(shift) == most else 1) for shift in range(-most, most + 1)]
        for shifts in (mine.int().tolist(), [parameters["translate"][place] for parameters in theirs]):
            counts = Counter(shifts)
            assert chisquare([counts[shift] for shift in range(-most, most + 1)], expected).pvalue > 1e-3
    together = torch.corrcoef(torch.stack(drawn)) - torch.eye(4)
    assert together.abs().max() < 0.06  # four deviations of what independent draws give


@pytest.mark.parametrize("packed", [False, True])
def test_normalising_is_that_of_torchvision(packed: bool) -> None:
    images = noise(5, height=6, packed=packed)
    mean, deviation = (0.1, 0.5, 0.7), (0.2, 0.3, 0.4)
    reference = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, deviation)])
    found = Normalise(mean, deviation)(images)
    torch.testing.assert_close(found, reference(images))
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("packed", [False, True])
def test_selected_images_are_those_at_the_indices(packed: bool) -> None:
    images, indices = noise(7, packed=packed), torch.tensor([6, 0, 0, 3])
    found = take_images(images, indices)
    assert torch.equal(found, images[indices])
    assert found.is_contiguous(memory_format=torch.channels_last)


def whole() -> Transform:
    return Transform(RandomFlip(), RandomCrop(4), RandomAffine(10, 1 / 8, 0.1), Normalise([0.5] * 3, [0.2] * 3))


@pytest.mark.parametrize("give", [list, iter, torch.Tensor.clone])
def test_images_may_come_as_a_batch_or_one_by_one(give: Callable[[Tensor], Iterable[Tensor]]) -> None:
    images = noise(5)
    torch.manual_seed(0)
    expected = whole()(images)
    torch.manual_seed(0)
    assert torch.equal(whole()(give(images)), expected)
    assert expected.dtype == torch.float32 and expected.shape == (5, 3, 8, 8)


def test_what_every_image_goes_through_alone_comes_first_and_spares_keeping_all_of_them() -> None:
    done: list[str] = []

    def read() -> Iterator[Tensor]:
        for index, size in enumerate([(4, 6), (7, 5), (3, 3)]):
            done.append("read")
            yield torch.full((1, *size), index, dtype=torch.uint8)

    def corner(image: Tensor) -> Tensor:
        done.append("cut")
        return image[:, :2, :2] * 10

    batch = Transform(lambda images: images + 1, each=corner)(read())
    assert batch[:, 0, 1, 1].tolist() == [1, 11, 21] and batch.shape == (3, 1, 2, 2)
    assert done == ["read", "cut"] * 3


def test_a_batch_is_a_function_of_the_seed_and_the_next_another() -> None:
    images = noise(6)
    torch.manual_seed(3)
    first, second = whole()(images), whole()(images)
    torch.manual_seed(3)
    assert torch.equal(whole()(images), first)
    assert not torch.equal(first, second)


def test_images_are_left_as_they_were() -> None:
    images = noise(6)
    whole()(images)
    assert torch.equal(images, noise(6))


def test_a_gpu_gets_what_is_drawn_and_is_never_waited_for() -> None:
    # Of a fake tensor there is all but the numbers, on any device; what mixes devices, or needs a number, is an error.
    with FakeTensorMode():
        images = torch.empty(6, 3, 8, 8, dtype=torch.uint8, device="cuda")
        batch = whole()(images)
        assert batch.device.type == "cuda" and batch.shape == images.shape and batch.dtype == torch.float32
