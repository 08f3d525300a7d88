"""No command sees the test images before the single evaluation at its end."""

from collections import Counter
from collections.abc import Callable

import pytest
import torch

from tas.data.digits import Digits
from tas.data.images import Images
from tas.search.module import SearchModule
from tas.training.module import TrainModule

QUICK = ["--epochs", "2", "--batch-size", "32"]
STEPS = 4
"""Of two epochs of 64 images."""


class Watched:
    """Test images that tell when one of them is read."""

    def __init__(self, pixels: torch.Tensor, tell: Callable[[object], None]) -> None:
        self.pixels = pixels
        self.tell = tell

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> torch.Tensor:
        self.tell(index)
        return self.pixels[index]


@pytest.fixture
def happened(few_digits: None, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """In order: "step" of a training or search, "loader" of the test images, index of a test image that is read."""
    events: list[object] = []
    load, loader = Digits.load, Digits.test_dataloader

    def watched_load(self: Digits, train: bool) -> Images:
        images = load(self, train)
        return images if train else Images(Watched(images.pixels, events.append), images.labels)

    def watched_loader(self: Digits) -> object:
        events.append("loader")
        return loader(self)

    def watched_step(step: Callable) -> Callable:
        def training_step(self: object, *arguments: object) -> object:
            events.append("step")
            return step(self, *arguments)

        return training_step

    monkeypatch.setattr(Digits, "load", watched_load)
    monkeypatch.setattr(Digits, "test_dataloader", watched_loader)
    for module in (TrainModule, SearchModule):
        monkeypatch.setattr(module, "training_step", watched_step(module.training_step))
    return events


TRAINING = [*["step"] * STEPS, "loader", *range(40)]
"""Every test image is read once, after the last step."""


@pytest.mark.parametrize(
    "more",
    [
        [],
        ["--kd", "--teacher", "a"],
        ["--kd", "--teacher", "a", "b", "--attention-transfer", "1", "--hints", "1"],
        ["--init", "teacher", "--teacher", "a"],
    ],
    ids=" ".join,
)
def test_a_training_sees_every_test_image_once_at_its_end(
    more: list[str], cli: Callable, happened: list[object], make_search: Callable, make_teacher: Callable
) -> None:
    make_search(), make_teacher("a"), make_teacher("b")
    assert cli("train", *QUICK, *more).status == 0
    assert happened == TRAINING


def test_a_teacher_that_is_trained_first_is_a_training_of_its_own(
    cli: Callable, happened: list[object], make_search: Callable
) -> None:
    make_search()
    assert cli("train", "--kd", *QUICK).status == 0
    assert happened == TRAINING + TRAINING


def test_a_search_sees_no_test_image(cli: Callable, happened: list[object]) -> None:
    assert cli("search", *QUICK, "--batch-size", "16").status == 0
    assert Counter(happened) == {"step": 2 * 3}  # 48 images to learn from, 16 to ask by


def test_networks_trained_alone_to_rank_by_see_no_test_image(cli: Callable, happened: list[object]) -> None:
    search = ["--methods", "tas", "--seeds", "0", "--training", "[]", "--search.epochs", "2", "--batch-size", "16"]
    status, _, err = cli("compare", *search, "--rank", "2", "--rank-epochs", "1", "--output", "compared")
    assert status == 0, err
    assert Counter(happened) == {"step": 2 * 3 + 3 * 2}  # of the search; of two random networks and the found one
