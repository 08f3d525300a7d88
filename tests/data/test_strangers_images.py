"""Image files as a stranger's folder may have them: read as images, or named and left out."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tas.data.image_files import READABLE, read_image
from tas.data.opening import open_data
from tas.errors import TasError, printable
from tests.strangers import BAD_IMAGES, NAMES, ODD_IMAGES, picture


@pytest.mark.parametrize("wrong", BAD_IMAGES)
@pytest.mark.parametrize("name", ["folder", "imagenet"])
def test_what_is_no_image_is_named_or_left_out(
    name: str, wrong: str, make_folder: Callable[..., Path], capsys: pytest.CaptureFixture
) -> None:
    root = make_folder()
    BAD_IMAGES[wrong](root / "train" / "cat" / "bad.png")
    if name == "folder":
        with pytest.raises(TasError, match=r"1 image cannot be read: train/cat/bad\.png \(") as error:
            open_data(name, str(root), 16, batch_size=8)
        assert "\n" not in str(error.value)
    data = open_data(name, str(root), 16, batch_size=8, on_bad_image="skip")
    pixels = data.train_images().pixels
    said = capsys.readouterr().err
    if wrong == "floating-point pixels" and name == "imagenet":  # its header can be read
        with pytest.raises(TasError, match=r"bad\.png: not a readable image"):
            [pixels[index] for index in range(len(pixels))]
    else:
        assert len(pixels) == 24 and said.count("\n") == 1 and "1 image cannot be read, left out" in said


@pytest.mark.parametrize("odd", ODD_IMAGES)
@pytest.mark.parametrize("name", ["folder", "imagenet"])
def test_what_is_an_image_is_read(odd: str, name: str, make_folder: Callable[..., Path]) -> None:
    root = make_folder()
    ODD_IMAGES[odd](root / "train" / "cat" / "odd.png")
    data = open_data(name, str(root), 16, batch_size=8)
    assert len(data.train_images().pixels) == 25
    images, _ = next(iter(data.train_dataloader()))
    assert images.shape == (8, 3, 16, 16) and images.isfinite().all()
    assert read_image(root / "train" / "cat" / "odd.png", 16).float().mean() > 20


def test_a_picture_of_16_bits_is_as_bright_as_it_was(tmp_path: Path) -> None:
    ODD_IMAGES["16 bits"](tmp_path / "grey.png")
    assert (read_image(tmp_path / "grey.png", None) == 30_000 // 257).all()


def test_of_an_animated_image_the_first_picture_counts(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (4, 4), (255, 0, 0)), Image.new("RGB", (4, 4), (0, 0, 255))
    for kind in ("PNG", "WEBP", "GIF"):
        first.save(tmp_path / "moving", kind, save_all=True, append_images=[second])
        assert read_image(tmp_path / "moving", None)[0].min() > 200


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_in_any_script(name: str, make_folder: Callable[..., Path], capsys: pytest.CaptureFixture) -> None:
    root = make_folder({part: {"one": 3, f"x{name}"[:60]: 3} for part in ("train", "test")})
    picture().save(root / "train" / "one" / f"{name}.png")
    (root / "train" / "one" / f"bad{name}.png").write_text("no image")
    data = open_data("folder", str(root), None, batch_size=4, on_bad_image="skip")
    assert f"x{name}"[:60] in data.classes and len(data.train_images().labels) == 7
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"bad{printable(name)}.png (" in said


def test_a_class_folder_whose_name_is_no_text_is_refused(make_folder: Callable[..., Path]) -> None:
    root = make_folder()
    (root / "train" / "cat").rename(root / "train" / "\udcff")
    with pytest.raises(TasError, match=r"class folder .*train/\\udcff has a name that is not UTF-8"):
        open_data("folder", str(root), None, batch_size=4)


def test_an_image_whose_name_is_no_text_is_read(make_folder: Callable[..., Path]) -> None:
    root = make_folder()
    picture().save(os.fsencode(root / "train" / "cat" / "\udcff.png"))
    data = open_data("folder", str(root), None, batch_size=4)
    assert len(data.train_images().labels) == 25 and data.fingerprint()


def test_links_that_lead_back_are_not_followed(make_folder: Callable[..., Path]) -> None:
    root = make_folder()
    (root / "train" / "cat" / "again").symlink_to(root, target_is_directory=True)
    (root / "train" / "loop").symlink_to("loop", target_is_directory=True)
    (root / "test" / "cat" / "up").symlink_to("..", target_is_directory=True)
    assert len(open_data("folder", str(root), None, batch_size=4).train_images().labels) == 24
    for file in list((root / "train" / "cat").glob("*.jpg")):
        file.unlink()
    with pytest.raises(TasError, match=r"class folder .*cat holds no images"):
        open_data("folder", str(root), None, batch_size=4)


def test_no_program_is_started_for_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    BAD_IMAGES["PostScript"](tmp_path / "image.png")
    started: list[object] = []
    monkeypatch.setattr(subprocess, "check_call", lambda *given, **_: started.append(given))
    with pytest.raises(TasError, match="cannot identify image file"):
        read_image(tmp_path / "image.png", None)
    assert started == [] and "EPS" not in READABLE
    with Image.open(tmp_path / "image.png") as image:  # Pillow itself takes it for one
        assert image.format == "EPS"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=8), kept=st.integers(0, 2**16))
def test_a_damaged_image_is_read_or_named(kind: str, changes: list[tuple[int, int]], kept: int, tmp_path: Path) -> None:
    path = tmp_path / "image"
    picture(size=(9, 7)).save(path, kind)
    content = bytearray(path.read_bytes())
    for place, value in changes:
        content[place % len(content)] = value
    path.write_bytes(content[: kept % (2 * len(content))])
    try:
        image = read_image(path, 8)
    except TasError as error:
        assert str(error).startswith(f"{path}: not a readable image (") and "\n" not in str(error)
    else:
        assert image.shape == (3, 8, 8)
