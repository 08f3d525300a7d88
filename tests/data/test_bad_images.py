"""Image files that cannot be read are named all at once, or left out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

from tas.commands.train import settle
from tas.config import SearchOptions, TrainOptions
from tas.data import folder
from tas.data.class_folders import ClassFolders
from tas.data.image_files import ImageFiles, read_image
from tas.data.opening import open_data
from tas.errors import TasError
from tas.runs.run import plain

QUICK = ["--network", "resnet20", "--epochs", "1"]
WHY = "cannot identify image file"


def opened(root: Path, name: str = "folder", image_size: int | None = None, **loading: Any) -> ClassFolders:
    data = open_data(name, str(root), image_size, batch_size=4, **loading)
    assert isinstance(data, ClassFolders)
    return data


def error_of(root: Path, *given: Any, **loading: Any) -> str:
    with pytest.raises(TasError) as error:
        opened(root, *given, **loading)
    assert "\n" not in str(error.value)
    return str(error.value)


def damage(root: Path, *names: str) -> None:
    for name in names:
        (root / name).write_bytes(b"no image")


def cut_short(path: Path) -> None:
    """Leave a file whose header can be read, and whose pixels cannot."""
    path.write_bytes(path.read_bytes()[:-20])
    with Image.open(path) as image:
        image.verify()


BAD = ("train/cat/000.jpg", "train/dog/002.jpg", "test/dog/001.jpg")


@pytest.mark.parametrize("limit", [folder.IN_MEMORY, 0])
@pytest.mark.parametrize("image_size", [None, 8])
def test_all_are_named_at_once(
    limit: int, image_size: int | None, make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "IN_MEMORY", limit)
    root = make_folder()
    damage(root, *BAD)
    named = ", ".join(f"{name} ({WHY})" for name in BAD)
    assert error_of(root, "folder", image_size) == (
        f"--data-dir {root}: 3 images cannot be read: {named}; --on-bad-image skip leaves them out"
    )


def test_pixels_that_cannot_be_decoded_are_named_with_the_others(make_folder: Callable[..., Path]) -> None:
    root = make_folder()
    cut_short(root / "train/cat/003.jpg")
    damage(root, BAD[2])
    said = error_of(root)
    assert "2 images cannot be read: train/cat/003.jpg (image file is truncated" in said and BAD[2] in said


def test_of_many_the_first_are_named_and_the_others_counted(make_folder: Callable[..., Path]) -> None:
    root = make_folder()
    damage(root, *(f"train/{label}/{index:03}.jpg" for label in ("cat", "dog") for index in range(6)))
    said = error_of(root)
    assert f"12 images cannot be read: train/cat/000.jpg ({WHY}), " in said
    assert f"train/dog/003.jpg ({WHY}), and 2 more; --on-bad-image skip" in said and said.count(WHY) == 10


def test_images_none_of_which_can_be_read_are_named(make_folder: Callable[..., Path]) -> None:
    root = make_folder({"train": {"cat": 1, "dog": 1}, "test": {"cat": 1, "dog": 1}})
    damage(root, *(str(path.relative_to(root)) for path in root.rglob("*.jpg")))
    assert "4 images cannot be read" in error_of(root)


@pytest.mark.parametrize("limit", [folder.IN_MEMORY, 0])
def test_skipped_images_are_left_out_with_one_warning(
    limit: int, make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(folder, "IN_MEMORY", limit)
    root = make_folder()
    whole = opened(root).train_images().pixels
    damage(root, *BAD)
    data = opened(root, on_bad_image="skip")
    train, test = data.train_images(), data.load(train=False)
    assert data.skipped == list(BAD)
    assert list(train.labels) == [0] * 11 + [1] * 11 and list(test.labels) == [0] * 4 + [1] * 3
    assert len(train.pixels) == 22 and len(test.pixels) == 7
    kept = [index for index in range(24) if index not in (0, 12 + 2)]
    assert isinstance(train.pixels, ImageFiles) == (limit == 0)
    assert all(torch.equal(train.pixels[place], whole[index]) for place, index in enumerate(kept))
    named = ", ".join(f"{name} ({WHY})" for name in BAD)
    assert capsys.readouterr().err == f"tas: warning: --data-dir {root}: 3 images cannot be read, left out: {named}\n"


def test_test_images_that_cannot_be_decoded_are_left_out_when_they_are_loaded(
    make_folder: Callable[..., Path], capsys: pytest.CaptureFixture
) -> None:
    root = make_folder()
    cut_short(root / "test/cat/001.jpg")
    data = opened(root, on_bad_image="skip")
    assert data.skipped == [] and capsys.readouterr().err == ""
    test = data.load(train=False)
    assert len(test.pixels) == len(test.labels) == 7 and data.skipped == ["test/cat/001.jpg"]
    assert "1 image cannot be read, left out: test/cat/001.jpg (" in capsys.readouterr().err
    with pytest.raises(TasError, match=r"1 image cannot be read: test/cat/001\.jpg"):
        opened(root).load(train=False)


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("name", ["folder", "imagenet"])
def test_a_class_that_is_left_without_images_is_named(name: str, part: str, make_folder: Callable[..., Path]) -> None:
    root = make_folder()
    damage(root, *(str(path.relative_to(root)) for path in (root / part / "dog").iterdir()))
    said = error_of(root, name, 16, on_bad_image="skip")
    assert said.startswith(f"--data-dir: class folder {root / part / 'dog'} holds no images without those that cannot")


def test_other_images_take_the_places_of_skipped_ones(make_folder: Callable[..., Path]) -> None:
    root = make_folder()
    damage(root, "train/cat/000.jpg")
    cut_short(root / "train/cat/001.jpg")
    data = opened(root, train_images=6, on_bad_image="skip")
    assert list(data.train_images().labels) == [0] * 3 + [1] * 3
    assert torch.equal(data.train_images().pixels[2], read_image(root / "train/cat/004.jpg", None))


def test_an_odd_size_is_no_bad_image(make_folder: Callable[..., Path]) -> None:
    root = make_folder()
    Image.new("RGB", (24, 16)).save(root / "test/dog/odd.png")
    damage(root, BAD[0])
    for how in ("error", "skip"):
        assert error_of(root, on_bad_image=how).startswith(f"{root / 'test/dog/odd.png'} is 24x16 pixels, not 16x16")


def test_photographs_are_skipped_by_their_headers(
    make_folder: Callable[..., Path], capsys: pytest.CaptureFixture
) -> None:
    root = make_folder()
    damage(root, *BAD)
    assert opened(root, "imagenet", 16).skipped == []  # none is opened
    data = opened(root, "imagenet", 16, on_bad_image="skip")
    assert data.skipped == list(BAD) and "3 images cannot be read, left out" in capsys.readouterr().err
    assert len(data.train_images().labels) == len(data.train_images().pixels) == 22
    assert len(list(data.train_dataloader())) == 5


def test_skip_goes_with_image_files() -> None:
    with pytest.raises(TasError, match="--on-bad-image skip goes with --data folder or imagenet; digits has no image"):
        open_data("digits", "data", None, batch_size=8, on_bad_image="skip")
    with pytest.raises(TasError, match="--on-bad-image is pass; allowed: error or skip"):
        TrainOptions.of(on_bad_image="pass")


@pytest.mark.parametrize(("given", "settled"), [({}, "skip"), ({"on_bad_image": "error"}, "error")])
def test_a_training_does_as_its_search_did_unless_told_otherwise(
    given: dict[str, str], settled: str, tmp_path: Path
) -> None:
    saved = SearchOptions.of(data="folder", data_dir="images", on_bad_image="skip")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(plain(saved.flat())))
    options = settle(TrainOptions.of(architecture=str(tmp_path), **given))
    assert (options.dataset.data_dir, options.dataset.on_bad_image) == ("images", settled)


def test_a_training_of_its_own_data_ends_at_a_bad_image_unless_told_otherwise(
    make_folder: Callable, cli: Callable, refused: Callable
) -> None:
    root = make_folder(size=(8, 8))
    damage(root, *BAD)
    given = ["train", *QUICK, "--data", "folder", "--data-dir", root]
    assert "3 images cannot be read" in refused(*given)
    assert cli(*given, "--on-bad-image", "skip", "--output", "run").status == 0
