from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from tas.cli import one_line
from tas.data.imagenet import ImageNet
from tas.data.images import ImageData, SearchData
from tas.data.loaders import EpochSampler
from tas.data.opening import open_data
from tas.errors import TasError

SIZES = [(60, 40), (40, 60), (33, 33), (24, 100)]
"""Width and height: landscape, portrait, square, and narrower than what is cut out."""
MEAN, DEVIATION = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


@pytest.fixture
def make_photos(tmp_path: Path) -> Callable[..., Path]:
    """Make a directory of JPEGs of different sizes, every third one grey: {part: {class: number of images}}."""

    def make(parts: Mapping[str, Mapping[str, int]] | None = None) -> Path:
        parts = parts or {"train": {"n01440764": 6, "n01443537": 6}, "val": {"n01440764": 2, "n01443537": 2}}
        noise = np.random.default_rng(0)
        for part, classes in parts.items():
            for label, count in classes.items():
                directory = tmp_path / "photos" / part / label
                directory.mkdir(parents=True)
                for index in range(count):
                    width, height = SIZES[index % len(SIZES)]
                    shape = (height, width) if index % 3 == 0 else (height, width, 3)
                    image = Image.fromarray(noise.integers(0, 256, shape, dtype=np.uint8))
                    image.save(directory / f"{label}_{index}.JPEG")
        return tmp_path / "photos"

    return make


def opened(root: Path, image_size: int | None = 32, batch_size: int = 4, workers: int = 0, seed: int = 0) -> ImageData:
    return open_data("imagenet", str(root), image_size, batch_size=batch_size, workers=workers, seed=seed)


def error_of(root: Path) -> str:
    with pytest.raises(TasError) as error:
        opened(root)
    assert "\n" not in str(error.value)
    return str(error.value)


def epoch_of(loader: DataLoader, seed: int, epoch: int) -> tuple[Tensor, Tensor]:
    """Images and classes of an epoch, set up as Lightning and the trainer do."""
    assert isinstance(loader.sampler, EpochSampler)
    batches = iter(loader)
    loader.sampler.set_epoch(epoch)
    torch.manual_seed(seed * 1_000_003 + epoch)
    images, labels = zip(*batches)
    return torch.cat(images), torch.cat(labels)


def levels(image: Tensor) -> Tensor:
    """The 0 to 255 that a normalised image, (3, H, W), stands for."""
    return (image * DEVIATION.view(3, 1, 1) + MEAN.view(3, 1, 1)) * 255


def test_training_images_and_classes_come_from_class_folders(make_photos: Callable[..., Path]) -> None:
    data = opened(make_photos({"train": {"b": 3, "a": 5}, "val": {"b": 1, "a": 2}}), image_size=None)
    assert (data.num_classes, data.in_channels, data.image_size) == (2, 3, 224)
    train, test = data.train_images(), data.load(train=False)
    assert list(train.labels) == [0] * 5 + [1] * 3  # alphabetical: a is class 0
    assert list(test.labels) == [0] * 2 + [1]
    assert [train.pixels[index].shape for index in range(4)] == [(3, height, width) for width, height in SIZES]


@pytest.mark.parametrize(("parts", "used"), [(("test",), "test"), (("val",), "val"), (("test", "val"), "val")])
def test_judged_are_the_images_of_val_or_else_of_test(
    parts: tuple[str, ...], used: str, make_photos: Callable[..., Path]
) -> None:
    counts = {"test": 2, "val": 3}
    root = make_photos({part: {"a": counts.get(part, 4), "b": counts.get(part, 4)} for part in ("train", *parts)})
    assert len(opened(root).load(train=False).labels) == 2 * counts[used]


def test_the_test_images_of_imagenet_which_have_no_classes_are_passed_over(make_photos: Callable[..., Path]) -> None:
    root = make_photos()
    (root / "test").mkdir()
    (root / "test" / "ILSVRC2012_test_00000001.JPEG").write_bytes(b"")
    assert len(opened(root).load(train=False).labels) == 4


def test_no_image_is_opened_before_an_epoch(make_photos: Callable[..., Path]) -> None:
    root = make_photos()
    for path in root.rglob("*.JPEG"):
        path.write_bytes(b"no image")
    data = opened(root)
    data.fingerprint()
    data.test_dataloader()
    SearchData(data).train_dataloader()


@pytest.mark.parametrize(("given", "size"), [(None, 224), (32, 32)])
def test_batches_are_of_the_image_size_whatever_the_images_are(
    given: int | None, size: int, make_photos: Callable[..., Path]
) -> None:
    data = opened(make_photos(), image_size=given)
    for loader, count in ((data.train_dataloader(), 12), (data.test_dataloader(), 4)):
        images, labels = (torch.cat(parts) for parts in zip(*loader))
        assert images.shape == (count, 3, size, size) and images.dtype == torch.float32
        assert sorted(labels.tolist()) == [0] * (count // 2) + [1] * (count // 2)


@pytest.mark.parametrize("workers", [0, 2])
def test_training_images_are_a_function_of_seed_and_epoch(workers: int, make_photos: Callable[..., Path]) -> None:
    root = make_photos()
    loader = opened(root, workers=workers).train_dataloader()
    unbroken = [epoch_of(loader, 0, epoch) for epoch in range(3)]
    resumed = opened(root, workers=workers).train_dataloader()
    for epoch in (1, 2):
        for again, before in zip(epoch_of(resumed, 0, epoch), unbroken[epoch]):
            assert torch.equal(again, before)
    other_seed = epoch_of(opened(root, workers=workers, seed=1).train_dataloader(), 1, 0)
    distinct = {image.numpy().tobytes() for images, _ in [*unbroken, other_seed] for image in images}
    assert len(distinct) == 4 * 12


def test_the_halves_of_a_search_are_functions_of_the_seed_too(make_photos: Callable[..., Path]) -> None:
    root = make_photos()
    searches = [SearchData(opened(root, batch_size=6, workers=1)).train_dataloader() for _ in range(2)]
    first, second = ([epoch_of(halves[name], 0, 0) for name in ("weights", "architecture")] for halves in searches)
    assert all(torch.equal(*images) for before, after in zip(first, second) for images in zip(before, after))


def triangles(size: int, new_size: int) -> Tensor:
    """(new_size, size): how bilinear interpolation with antialiasing weighs pixels; a triangle about each new centre,
    as wide as a new pixel and its neighbours."""
    scale = size / new_size
    centres = (torch.arange(new_size, dtype=torch.float64) + 0.5) * scale
    distances = (torch.arange(size, dtype=torch.float64) + 0.5 - centres[:, None]).abs() / max(scale, 1)
    weights = (1 - distances).clamp(min=0)
    return weights / weights.sum(1, keepdim=True)


@pytest.mark.parametrize(
    ("height", "width", "size", "shorter_side"), [(200, 300, 224, 256), (375, 250, 32, 37), (20, 31, 16, 18)]
)
def test_judging_cuts_the_centre_out_of_an_image_whose_shorter_side_is_an_eighth_more(
    height: int, width: int, size: int, shorter_side: int
) -> None:
    image = torch.randint(256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    rows, columns = (side * shorter_side // min(height, width) for side in (height, width))
    resized = triangles(height, rows) @ image.double() @ triangles(width, columns).T
    top, left = round((rows - size) / 2), round((columns - size) / 2)
    expected = resized[:, top : top + size, left : left + size]
    judged = ImageNet("nowhere", size, batch_size=1).normalisation()([image])[0]
    # Pixels are whole numbers after each of the two directions.
    torch.testing.assert_close(levels(judged).double(), expected, rtol=0, atol=1.1)


def test_a_photo_is_judged_as_it_is_read(make_photos: Callable[..., Path]) -> None:
    data = opened(make_photos())
    images = torch.cat([images for images, _ in data.test_dataloader()])
    pixels = data.load(train=False).pixels
    assert torch.equal(images, data.normalisation()(pixels[index] for index in range(4)))
    assert images.is_contiguous(memory_format=torch.channels_last)


def augmented(image: Tensor, times: int = 50) -> list[Tensor]:
    transform = ImageNet("nowhere", 32, batch_size=1).augmentation()
    torch.manual_seed(0)
    return list(levels(transform([image] * times)))


def test_augmentation_mirrors_and_cuts_out_parts() -> None:
    ramp = torch.arange(100, 200, dtype=torch.uint8).expand(3, 100, 100)
    slopes = torch.stack([(image[0, :, 31] - image[0, :, 0]).mean() for image in augmented(ramp)])
    assert 10 < (slopes > 0).sum() < 40
    assert slopes.abs().max() > 3 * slopes.abs().min()


def test_augmentation_changes_brightness_by_at_most_two_fifths() -> None:
    grey = torch.full((3, 40, 40), 100, dtype=torch.uint8)  # contrast and saturation change nothing of it
    changed = torch.stack(augmented(grey))
    assert (changed.amax((1, 2, 3)) - changed.amin((1, 2, 3)) < 1e-3).all()
    brightness = changed.mean((1, 2, 3))
    assert 59 <= brightness.min() < 70 and 130 < brightness.max() <= 141


def test_augmentation_changes_contrast_and_saturation() -> None:
    image = torch.tensor([150, 100, 100], dtype=torch.uint8).view(3, 1, 1).expand(3, 40, 40).clone()
    redness = torch.stack([(pixels[0] / pixels[1]).mean() for pixels in augmented(image)])
    assert redness.min() < 1.4 and redness.max() > 1.6  # brightness alone leaves 1.5
    halves = torch.full((3, 40, 40), 100, dtype=torch.uint8)
    halves[:, 20:] = 150
    contrasts = torch.stack([pixels.amax() / pixels.amin() for pixels in augmented(halves, 200)])
    assert contrasts.max() > 1.6


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_image_is_named_when_it_is_reached(workers: int, make_photos: Callable[..., Path]) -> None:
    root = make_photos()
    bad = root / "train" / "n01443537" / "n01443537_3.JPEG"
    bad.write_bytes(bad.read_bytes()[:200])
    loader = opened(root, workers=workers).train_dataloader()
    with pytest.raises(TasError) as error:
        list(loader)
    assert one_line(error.value).startswith(f"{bad}: not a readable image")


@pytest.mark.parametrize("part", ["train", "val"])
def test_a_class_folder_without_images_is_named_at_the_start(part: str, make_photos: Callable[..., Path]) -> None:
    root = make_photos()
    for path in (root / part / "n01443537").iterdir():
        path.unlink()
    message = error_of(root)
    assert str(root / part / "n01443537") in message and "no images" in message


def test_classes_that_differ_between_train_and_val_are_named(make_photos: Callable[..., Path]) -> None:
    root = make_photos({"train": {"a": 3, "b": 3, "c": 3}, "val": {"a": 1, "b": 1, "d": 1}})
    assert error_of(root).endswith("c, d")


def test_validation_images_that_are_not_in_class_folders_are_no_data_set(make_photos: Callable[..., Path]) -> None:
    root = make_photos({"train": {"a": 3, "b": 3}, "val": {".": 3}})
    assert error_of(root) == f"--data-dir: {root / 'val'} holds 0 class folders; at least 2 are needed"


def test_a_directory_without_train_or_val_is_told_what_is_expected(
    tmp_path: Path, make_photos: Callable[..., Path]
) -> None:
    assert error_of(tmp_path / "missing") == f"--data-dir {tmp_path / 'missing'}: no such directory"
    assert "holds no val/ or test/" in error_of(make_photos({"train": {"a": 2, "b": 2}}))


def test_a_search_splits_every_class_and_refuses_one_of_a_single_image(make_photos: Callable[..., Path]) -> None:
    root = make_photos({"train": {"a": 4, "b": 6}, "val": {"a": 1, "b": 1}})
    halves = SearchData(opened(root), seed=0)
    labels = halves.data.train_images().labels
    for half in (halves.weights_half, halves.architecture_half):
        assert [labels[index] for index in half] == [0] * 2 + [1] * 3
    for path in sorted((root / "train" / "a").iterdir())[1:]:
        path.unlink()
    with pytest.raises(TasError, match="every class needs at least 2"):
        SearchData(opened(root))


def test_the_fingerprint_changes_with_the_files_not_with_their_place(make_photos: Callable[..., Path]) -> None:
    root = make_photos()
    before = opened(root).fingerprint()
    root = root.rename(root.with_name("moved"))
    assert opened(root).fingerprint() == before
    replaced = root / "train" / "n01440764" / "n01440764_0.JPEG"
    replaced.write_bytes(replaced.read_bytes() + b"more")
    changed = opened(root).fingerprint()
    replaced.unlink()
    assert len({before, changed, opened(root).fingerprint()}) == 3


def test_a_training_ends_at_an_unreadable_image_in_a_line_that_names_it(
    cli: Callable, make_photos: Callable[..., Path]
) -> None:
    root = make_photos()
    bad = root / "train" / "n01440764" / "n01440764_2.JPEG"
    bad.write_bytes(b"no image")
    options = ["--network", "resnet20", "--epochs", "1", "--image-size", "16", "--workers", "2", "--output", "run"]
    status, _, err = cli("train", "--data", "imagenet", "--data-dir", root, *options)
    assert status == 2
    assert err.splitlines()[-1].startswith(f"tas train: error: {bad}: not a readable image")
    assert "Traceback" not in err
