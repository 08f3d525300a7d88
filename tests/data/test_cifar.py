import runpy
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import pytest
import torch

from tas.data.cifar import Cifar10
from tas.data.opening import open_data
from tas.errors import TasError
from tests.conftest import ROOT


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise URLError("no route\nto host")

    monkeypatch.setattr(urllib.request, "urlopen", fail)


@pytest.mark.parametrize(
    ("name", "classes", "files"),
    [("cifar10", 10, ["data_batch_1", "data_batch_2", "test_batch"]), ("cifar100", 100, ["train", "test"])],
)
def test_a_cifar_that_is_there_is_read_without_network(
    name: str, classes: int, files: list[str], make_cifar: Callable[..., Path], no_network: None
) -> None:
    root = make_cifar(classes, files, per_file=2 * classes)
    data = open_data(name, str(root), None, batch_size=8)
    assert (data.num_classes, data.in_channels, data.image_size) == (classes, 3, 32)
    train, test = data.load(train=True), data.load(train=False)
    assert train.pixels.shape == ((len(files) - 1) * 2 * classes, 3, 32, 32)
    assert train.pixels.dtype == torch.uint8
    assert sorted(set(train.labels)) == list(range(classes))
    assert len(test.labels) == 2 * classes


def test_the_loaders_give_what_the_networks_take(make_cifar: Callable[..., Path]) -> None:
    root = make_cifar(10, ["data_batch_1", "test_batch"])
    data = open_data("cifar10", str(root), None, batch_size=8)
    for loader in (data.train_dataloader(), data.test_dataloader()):
        images, labels = next(iter(loader))
        assert images.shape[1:] == (3, 32, 32) and images.dtype == torch.float32
        assert labels.dtype == torch.int64


def test_normalisation_is_of_the_channel_statistics() -> None:
    data = Cifar10("nowhere", batch_size=8)
    image = torch.tensor([51, 102, 204], dtype=torch.uint8).view(3, 1, 1).expand(3, 32, 32)
    expected = (torch.tensor([0.2, 0.4, 0.8]) - torch.tensor(data.statistics.mean)) / torch.tensor(
        data.statistics.deviation
    )
    torch.testing.assert_close(data.normalisation()(image[None])[0, :, 5, 5], expected)


def test_augmentation_mirrors_and_shifts_by_at_most_four_pixels() -> None:
    data = Cifar10("nowhere", batch_size=8)
    image = torch.zeros(3, 32, 32, dtype=torch.uint8)
    image[:, 16, 10] = 255
    torch.manual_seed(0)
    augmented = data.augmentation()(image.repeat(2000, 1, 1, 1))
    places = {divmod(int(place), 32) for place in augmented[:, 0].flatten(1).argmax(1)}
    assert {row for row, _ in places} == set(range(12, 21))
    assert {column for _, column in places} == {*range(6, 15), *range(31 - 14, 31 - 5)}


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_without_data_and_network_the_directory_is_named_and_none_is_left(
    name: str, tmp_path: Path, no_network: None
) -> None:
    root = tmp_path / "data"
    with pytest.raises(TasError) as error:
        open_data(name, str(root), None, batch_size=8)
    message = str(error.value)
    assert message.startswith(f"--data-dir {root}: ") and "no route to host" in message
    assert "\n" not in message
    assert not root.exists()


def test_a_directory_that_was_there_is_kept_when_the_download_fails(tmp_path: Path, no_network: None) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(TasError, match="--data-dir"):
        open_data("cifar10", str(tmp_path), None, batch_size=8)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_damaged_file_is_not_read(make_cifar: Callable[..., Path], no_network: None) -> None:
    root = make_cifar(10, ["data_batch_1", "test_batch"])
    (root / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"cut off")
    with pytest.raises(TasError, match="--data-dir"):
        open_data("cifar10", str(root), None, batch_size=8)


def test_the_images_of_the_studies_are_those_of_cifar(
    make_cifar: Callable[..., Path], no_network: None, tmp_path: Path
) -> None:
    root = make_cifar(10, ["data_batch_1", "data_batch_2", "test_batch"])
    write_images = runpy.run_path(str(ROOT / "benchmarks" / "cifar_images.py"))["write_images"]
    assert write_images(root, tmp_path / "images") == 60
    folder = open_data("folder", str(tmp_path / "images"), None, batch_size=8)
    cifar = open_data("cifar10", str(root), None, batch_size=8)
    for train in (True, False):
        # A folder has them class by class, in each by number.
        own = cifar.load(train)
        order = sorted(range(len(own.labels)), key=lambda index: (str(own.labels[index]), index))
        written = folder.load(train)
        assert written.labels == [own.labels[index] for index in order]
        assert torch.equal(torch.stack(list(written.pixels)), own.pixels[order])  # type: ignore[index, call-overload]
