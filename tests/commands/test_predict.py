"""Image files, told apart by the network of a run."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import tas
from tas.data.description import read_description
from tas.data.digits import Digits
from tas.data.imagenet import ImageNet
from tas.data.preparation import batch_for, image_for
from tas.runs.run import Run


@pytest.fixture
def digits(tmp_path: Path) -> list[str]:
    """Three test images as files, with names that a list of flags would tear apart."""
    data = Digits(batch_size=8)
    names = []
    for index, pixels in enumerate(data.load(train=False).pixels[:3]):
        names.append(str(tmp_path / f"digit {index}, [{index}].png"))
        Image.fromarray(pixels[0].numpy()).save(names[-1])
    return names


def test_a_file_is_told_as_the_same_image_of_the_data_set(make_teacher: Callable[..., Run], digits: list[str]) -> None:
    run, data = make_teacher(), Digits(batch_size=8)
    images, _ = next(iter(data.test_dataloader()))
    expected = tas.load(run.path)(images[:3]).softmax(1)
    for row, guesses in zip(expected, tas.predict(run.path, digits, top=10), strict=True):
        assert [guess.probability for guess in guesses] == sorted(row.tolist(), reverse=True)
        assert [int(guess.name) for guess in guesses] == row.argsort(descending=True).tolist()


def test_the_command_tells_each_image_s_classes(
    cli: Callable, make_teacher: Callable[..., Run], digits: list[str]
) -> None:
    run = make_teacher()
    status, out, err = cli("predict", str(run.path), *digits, "--top", "2")
    assert status == 0, err
    assert [line[: len(name)] for line, name in zip(out.splitlines(), digits, strict=True)] == digits
    assert out.count("%") == 6
    status, out, _ = cli("predict", str(run.path), digits[1], "--json")
    (row,) = map(json.loads, out.splitlines())
    assert row["image"] == digits[1]
    assert sum(row["classes"].values()) <= 1 + 1e-6 and len(row["classes"]) == 5


def test_the_classes_names_are_told(cli: Callable, make_teacher: Callable[..., Run], digits: list[str]) -> None:
    run = make_teacher()
    images = json.loads(run.images.read_text())
    run.images.write_text(json.dumps(images | {"classes": [f"the {number}" for number in range(10)]}))
    _, out, _ = cli("predict", str(run.path), digits[0], "--top", "1")
    assert "  the " in out


@pytest.mark.parametrize(("shape", "mode"), [((40, 60, 3), "RGB"), ((90, 30), "L"), ((33, 33), "I;16")])
def test_any_image_gets_the_size_and_the_channels_of_the_run_s(
    make_teacher: Callable[..., Run], tmp_path: Path, shape: tuple[int, ...], mode: str
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint16 if mode == "I;16" else np.uint8)
    Image.fromarray(pixels).save(tmp_path / "any.png")
    run = make_teacher()
    assert batch_for([tmp_path / "any.png"], read_description(run.images)).shape == (1, 1, 8, 8)


def test_photographs_are_cropped_as_imagenet_s_are_judged(tmp_path: Path) -> None:
    pixels = torch.randint(256, (50, 70, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    Image.fromarray(pixels.numpy()).save(tmp_path / "photograph.png")
    data = ImageNet(str(tmp_path), image_size=32, batch_size=2)
    data.num_classes, data.in_channels = 2, 3
    judged = data.normalisation()([pixels.permute(2, 0, 1)])
    (tmp_path / "images.json").write_text(json.dumps(data.described()))
    images = read_description(tmp_path / "images.json")
    assert images["fit"] == "crop"
    assert torch.equal(batch_for([tmp_path / "photograph.png"], images), judged)
    assert image_for(tmp_path / "photograph.png", images).shape == (3, 32, 32)


def test_what_is_missing_or_no_image_is_named_in_a_line(
    cli: Callable, make_teacher: Callable[..., Run], digits: list[str], tmp_path: Path
) -> None:
    run = make_teacher()
    (tmp_path / "text.png").write_text("no image")
    wrong = {
        "tas predict: error: give a finished run and image files": (str(run.path),),
        f"tas predict: error: {tmp_path / 'text.png'}: not a readable image": (
            str(run.path), digits[0], str(tmp_path / "text.png"),
        ),
        "tas predict: error: nowhere: no such directory": ("nowhere", digits[0]),
        "tas predict: error: --top is 0": (str(run.path), digits[0], "--top", "0"),
    }  # fmt: skip
    for message, arguments in wrong.items():
        status, out, err = cli("predict", *arguments)
        assert (status, out) == (2, "")
        assert err.splitlines()[-1].startswith(message)
    run.images.unlink()
    status, _, err = cli("predict", str(run.path), digits[0])
    assert status == 2 and "has no images.json, which says what its images are like" in err


@pytest.mark.parametrize("name", ["a\nb.png", "\x1b[2J.png", "猫.png"])
def test_names_of_files_and_classes_steer_no_terminal(
    name: str, cli: Callable, make_teacher: Callable[..., Run], digits: list[str], tmp_path: Path
) -> None:
    run = make_teacher()
    images = json.loads(run.images.read_text())
    run.images.write_text(json.dumps(images | {"classes": ["\x1b[2J\n\ud800"] * 10}))
    (tmp_path / name).write_bytes(Path(digits[0]).read_bytes())
    status, out, err = cli("predict", run.path, name)
    assert status == 0 and out.count("\n") == 1 and "\x1b" not in out, err
    assert "\\x1b[2J\\n\\ud800 " in out
    (tmp_path / name).write_text("no image")
    status, _, err = cli("predict", run.path, name)
    assert status == 2 and err.count("\n") == 1 and "\x1b" not in err
