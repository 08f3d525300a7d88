import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tas.data import folder
from tas.data.folder import Folder
from tas.data.image_files import ImageFiles, check_header, read_image
from tas.data.images import ImageData
from tas.data.opening import open_data
from tas.errors import TasError

MakeFolder = Callable[..., Path]


def opened(root: Path, image_size: int | None = None) -> ImageData:
    return open_data("folder", str(root), image_size, batch_size=8)


def error_of(root: Path, image_size: int | None = None) -> str:
    with pytest.raises(TasError) as error:
        opened(root, image_size)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".JPEG"])
def test_images_and_classes_come_from_class_folders(suffix: str, make_folder: MakeFolder) -> None:
    data = opened(make_folder({"train": {"b": 3, "a": 5}, "test": {"b": 1, "a": 2}}, suffix=suffix))
    assert (data.num_classes, data.in_channels, data.image_size) == (2, 3, 16)
    train, test = data.train_images(), data.load(train=False)
    assert list(train.labels) == [0] * 5 + [1] * 3  # alphabetical: a is class 0
    assert list(test.labels) == [0] * 2 + [1]
    assert train.pixels.shape == (8, 3, 16, 16) and train.pixels.dtype == torch.uint8


def test_pixels_are_those_of_the_files(make_folder: MakeFolder) -> None:
    root = make_folder(suffix=".png")
    pixels = opened(root).train_images().pixels
    with Image.open(root / "train" / "cat" / "003.png") as image:
        assert torch.equal(pixels[3], torch.from_numpy(np.array(image)).permute(2, 0, 1))


def test_images_in_folders_below_a_class_folder_are_its_own(make_folder: MakeFolder) -> None:
    root = make_folder({"train": {"cat": 3, "dog": 3}, "test": {"cat": 1, "dog": 1}})
    shutil.copytree(root / "train" / "dog", root / "train" / "dog" / "more")
    assert list(opened(root).train_images().labels) == [0] * 3 + [1] * 6


def test_other_files_and_hidden_folders_are_passed_over(make_folder: MakeFolder) -> None:
    root = make_folder()
    (root / "train" / "cat" / "notes.txt").write_text("not an image")
    (root / "train" / ".cache").mkdir()
    assert len(opened(root).train_images().labels) == 24


def test_copies_that_jupyter_leaves_in_class_folders_are_passed_over(make_folder: MakeFolder) -> None:
    root = make_folder()
    count = len(opened(root).train_images().labels)
    for file in list((root / "train").glob("*/*")):
        (file.parent / ".ipynb_checkpoints").mkdir(exist_ok=True)
        shutil.copy(file, file.parent / ".ipynb_checkpoints" / f"{file.stem}-checkpoint{file.suffix}")
    assert len(opened(root).train_images().labels) == count


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "CMYK"])
def test_images_of_other_modes_become_rgb(mode: str, tmp_path: Path) -> None:
    colours = Image.new("RGB", (8, 8), (255, 255, 255))
    path = tmp_path / ("image.tif" if mode == "CMYK" else "image.png")
    colours.convert(mode).save(path)
    image = read_image(path, None)
    assert image.shape == (3, 8, 8) and image.dtype == torch.uint8
    assert (image == 255).all()


def test_a_grey_image_has_three_equal_channels(tmp_path: Path) -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    image = read_image(tmp_path / "grey.png", None)
    assert all(torch.equal(channel, torch.from_numpy(grey)) for channel in image)


@pytest.mark.parametrize(("parts", "used"), [(("test",), "test"), (("val",), "val"), (("test", "val"), "test")])
def test_test_images_are_those_of_test_or_else_of_val(
    parts: tuple[str, ...], used: str, make_folder: MakeFolder
) -> None:
    counts = {"test": 2, "val": 3}
    root = make_folder({part: {"a": counts.get(part, 4), "b": counts.get(part, 4)} for part in ("train", *parts)})
    assert len(opened(root).load(train=False).labels) == 2 * counts[used]


def test_image_size_resizes_images_of_any_size(make_folder: MakeFolder) -> None:
    root = make_folder(size=(20, 12))
    Image.new("RGB", (40, 40)).save(root / "train" / "cat" / "large.jpg")
    data = opened(root, image_size=8)
    assert data.image_size == 8
    assert data.train_images().pixels.shape == (25, 3, 8, 8)


def test_different_sizes_without_image_size_name_the_file_and_the_flag(make_folder: MakeFolder) -> None:
    root = make_folder()
    odd = root / "train" / "dog" / "odd.png"
    Image.new("RGB", (24, 16)).save(odd)
    message = error_of(root)
    assert message.startswith(f"{odd} is 24x16 pixels, not 16x16") and "--image-size" in message


def test_images_that_are_not_square_need_image_size(make_folder: MakeFolder) -> None:
    assert "--image-size" in error_of(make_folder(size=(20, 12)))


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    assert error_of(tmp_path / "missing") == f"--data-dir {tmp_path / 'missing'}: no such directory"


def test_a_directory_without_train_or_test_is_told_what_is_expected(tmp_path: Path, make_folder: MakeFolder) -> None:
    (tmp_path / "empty").mkdir()
    assert "holds no train/" in error_of(tmp_path / "empty")
    assert "holds no test/ or val/" in error_of(make_folder({"train": {"cat": 2, "dog": 2}}))


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_class_folder_without_images_is_named(part: str, make_folder: MakeFolder) -> None:
    root = make_folder()
    for path in (root / part / "dog").iterdir():
        path.unlink()
    with pytest.raises(TasError) as error:
        opened(root).load(train=False)
    assert str(root / part / "dog") in str(error.value) and "no images" in str(error.value)


def test_classes_that_differ_between_train_and_test_are_named(make_folder: MakeFolder) -> None:
    root = make_folder({"train": {"cat": 3, "dog": 3, "cow": 3}, "test": {"cat": 1, "dog": 1, "hen": 1}})
    assert error_of(root).endswith("cow, hen")


def test_one_class_is_too_few(make_folder: MakeFolder) -> None:
    assert "holds 1 class folder" in error_of(make_folder({"train": {"cat": 3}, "test": {"cat": 3}}))


def test_images_without_class_folders_are_no_data_set(make_folder: MakeFolder) -> None:
    root = make_folder({"train": {".": 3}, "test": {".": 3}})
    assert "holds 0 class folders" in error_of(root)


def damaged(path: Path, how: str) -> Path:
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:200])
    elif how == "text":
        path.write_text("no image at all")
    else:
        path.write_bytes(b"")
    return path


@pytest.mark.parametrize("how", ["truncated", "text", "empty"])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("name", ["000", "003"])  # the first is also the one whose size is looked up
def test_an_unreadable_image_is_named(how: str, suffix: str, name: str, make_folder: MakeFolder) -> None:
    root = make_folder(suffix=suffix)
    path = damaged(root / "train" / "cat" / f"{name}{suffix}", how)
    assert error_of(root).startswith(f"--data-dir {root}: 1 image cannot be read: train/cat/{path.name} (")


def test_an_unreadable_test_image_is_named(make_folder: MakeFolder) -> None:
    root = make_folder()
    damaged(root / "test" / "cat" / "001.jpg", "truncated")
    with pytest.raises(TasError, match=r"1 image cannot be read: test/cat/001\.jpg"):
        opened(root).load(train=False)


def test_an_image_too_large_to_be_meant_is_an_unreadable_one(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # 16x16 is more than twice that: an error of Pillow's own
    assert f"{root}: 32 images cannot be read: train/cat/000.jpg (Image size (256 pixels) exceeds" in error_of(root)


def test_a_folder_too_large_for_memory_is_read_lazily_and_gives_the_same(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder()
    whole = opened(root).train_images()
    monkeypatch.setattr(folder, "IN_MEMORY", 24 * 3 * 16 * 16 - 1)
    lazy = opened(root).train_images()
    assert isinstance(whole.pixels, torch.Tensor)
    assert isinstance(lazy.pixels, ImageFiles) and len(lazy.pixels) == 24
    assert all(torch.equal(lazy.pixels[index], whole.pixels[index]) for index in range(24))
    assert lazy.labels == whole.labels


@pytest.mark.parametrize("workers", [0, 2])
def test_a_folder_too_large_for_memory_is_augmented_as_one_in_memory(
    workers: int, make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder()
    epochs = []
    for limit in (folder.IN_MEMORY, 0):
        monkeypatch.setattr(folder, "IN_MEMORY", limit)
        torch.manual_seed(0)
        epochs.append(list(open_data("folder", str(root), None, batch_size=8, workers=workers).train_dataloader()))
    for (images, labels), (again, labels_again) in zip(*epochs, strict=True):
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(images, again) and torch.equal(labels, labels_again)


def test_augmentation_keeps_the_shape_and_changes_the_image(make_folder: MakeFolder) -> None:
    data = opened(make_folder())
    assert isinstance(data, Folder)
    images = data.train_images().pixels[:5]
    torch.manual_seed(0)
    augmented = data.augmentation()(images)
    assert augmented.shape == (5, 3, 16, 16) and augmented.dtype == torch.float32
    assert not torch.equal(augmented, data.normalisation()(images))


def test_an_unknown_data_set_suggests_the_nearest() -> None:
    with pytest.raises(TasError, match=r"--data: unknown data set 'cifar', did you mean 'cifar10'\?"):
        open_data("cifar", "data", None, batch_size=8)


@pytest.mark.parametrize("name", ["digits", "cifar10", "cifar100"])
def test_image_size_goes_with_folders_only(name: str) -> None:
    with pytest.raises(TasError, match="--image-size"):
        open_data(name, "data", 16, batch_size=8)


def test_sixteen_bit_pixels_are_scaled_not_clipped(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    expected = torch.from_numpy((ramp / 257).astype(np.uint8)).expand(3, 8, 8)
    assert torch.equal(read_image(tmp_path / "deep.png", None), expected)


def test_a_tiff_of_several_pages_is_refused_and_not_read_as_its_first(tmp_path: Path) -> None:
    pages = [Image.new("L", (8, 8), grey) for grey in (10, 20, 30)]
    pages[0].save(tmp_path / "spectrum.tif", save_all=True, append_images=pages[1:])
    for read in (lambda path: read_image(path, 8), lambda path: check_header(path, 8)):
        with pytest.raises(TasError, match="a TIFF of 3 pages"):
            read(tmp_path / "spectrum.tif")


def test_a_class_of_files_of_another_kind_says_which(make_folder: MakeFolder) -> None:
    root = make_folder()
    for path in (root / "train" / "dog").iterdir():
        path.rename(path.with_suffix(".npy"))
    with pytest.raises(TasError, match=r"holds no images \(.*\), only \.npy$"):
        opened(root)


def test_hidden_files_are_passed_over(make_folder: Callable[..., Path]) -> None:
    root = make_folder()
    count = len(Folder(str(root), None, batch_size=4).files(root / "train")[0])
    (root / "train" / "cat" / "._000.jpg").write_bytes(b"what macOS leaves")
    assert len(Folder(str(root), None, batch_size=4).files(root / "train")[0]) == count


def test_an_unreadable_test_image_is_found_at_the_start(make_folder: Callable[..., Path]) -> None:
    root = make_folder()
    (root / "test" / "dog" / "broken.jpg").write_bytes(b"no image")
    with pytest.raises(TasError, match=r"1 image cannot be read: test/dog/broken\.jpg \("):
        Folder(str(root), None, batch_size=4).setup()


def test_the_fingerprint_changes_with_the_images(make_folder: Callable[..., Path]) -> None:
    root = make_folder()

    def fingerprint() -> str:
        data = Folder(str(root), None, batch_size=4)
        data.setup()
        return data.fingerprint()

    before = fingerprint()
    assert fingerprint() == before
    (root / "train" / "cat" / "000.jpg").write_bytes((root / "train" / "dog" / "000.jpg").read_bytes())
    assert fingerprint() != before
