from collections import Counter

import torch

from tas.data.digits import Digits
from tas.data.opening import open_data


def test_the_split_is_fixed_disjoint_and_complete() -> None:
    train, test = Digits(batch_size=64).load(train=True), Digits(batch_size=64, seed=5).load(train=False)
    assert (len(train.labels), len(test.labels)) == (1437, 360)
    assert train.pixels.shape == (1437, 1, 8, 8) and test.pixels.shape == (360, 1, 8, 8)
    assert len({bytes(image.numpy()) for image in (*train.pixels, *test.pixels)}) == 1797


def test_the_split_is_stratified() -> None:
    train, test = (Counter(Digits(batch_size=64).load(train).labels) for train in (True, False))
    assert set(train) == set(test) == set(range(10))
    for label in range(10):
        assert abs(test[label] - (train[label] + test[label]) * 360 / 1797) < 1


def test_pixels_span_the_range_of_bytes() -> None:
    pixels = Digits(batch_size=64).load(train=True).pixels
    assert pixels.dtype == torch.uint8
    assert (int(pixels.min()), int(pixels.max())) == (0, 255)


def test_normalised_training_pixels_have_mean_0_and_deviation_1() -> None:
    data = Digits(batch_size=64)
    pixels = data.normalisation()(data.load(train=True).pixels)
    assert abs(float(pixels.mean())) < 1e-3
    assert abs(float(pixels.std()) - 1) < 1e-3


def test_augmentation_shifts_by_at_most_a_pixel_and_never_mirrors() -> None:
    data = Digits(batch_size=64)
    image = torch.zeros(1, 8, 8, dtype=torch.uint8)
    image[0, 3, 3], image[0, 3, 4] = 255, 100
    marks = set()
    torch.manual_seed(0)
    for shifted in data.augmentation()(image.repeat(100, 1, 1, 1)):
        row, column = divmod(int(shifted.argmax()), 8)
        assert shifted[0, row, column + 1] > shifted.min()  # the fainter mark stays to the right
        marks.add((row, column))
    assert marks == {(row, column) for row in (2, 3, 4) for column in (2, 3, 4)}


def test_digits_are_described() -> None:
    data = open_data("digits", "nowhere", None, batch_size=64)
    assert (data.num_classes, data.in_channels, data.image_size) == (10, 1, 8)
