"""scikit-learn's handwritten digits: 1,797 real images of 8x8 grey pixels, shipped with the library."""

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from tas.data.augmentation import Normalise, RandomAffine, Transform
from tas.data.images import ImageData, Images

TEST_IMAGES = 360


class Digits(ImageData):
    """1,437 training and 360 test images, a fixed stratified split."""

    num_classes = 10
    in_channels = 1
    image_size = 8
    statistics = Normalise(mean=(0.3054,), deviation=(0.3760,))  # of the training pixels

    def load(self, train: bool) -> Images:
        digits = load_digits()
        parts = train_test_split(
            range(len(digits.target)), test_size=TEST_IMAGES, stratify=digits.target, random_state=0
        )
        part = sorted(parts[0 if train else 1])
        part = [part[index] for index in self.used(digits.target[part].tolist(), train)]
        pixels = torch.from_numpy(digits.images[part] * (255 / 16)).round().to(torch.uint8).unsqueeze(1)
        return Images(pixels, digits.target[part].tolist())

    def augmentation(self) -> Transform:
        # A digit stays itself when turned, shifted by a pixel or scaled a little, not when flipped.
        return Transform(RandomAffine(degrees=10, shift=1 / 8, scale=0.1), self.statistics)

    def normalisation(self) -> Transform:
        return Transform(self.statistics)
