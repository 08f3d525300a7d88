"""scikit-learn's handwritten digits: 1,797 real images of 8x8 grey pixels, shipped with the library."""

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torchvision.transforms import v2

from tas.data.images import ImageData, Images, Transform

TEST_IMAGES = 360


class Digits(ImageData):
    """1,437 training and 360 test images, a fixed stratified split."""

    num_classes = 10
    in_channels = 1
    image_size = 8

    def load(self, train: bool) -> Images:
        digits = load_digits()
        parts = train_test_split(
            range(len(digits.target)), test_size=TEST_IMAGES, stratify=digits.target, random_state=0
        )
        part = sorted(parts[0 if train else 1])
        pixels = torch.from_numpy(digits.images[part] * (255 / 16)).round().to(torch.uint8).unsqueeze(1)
        return Images(pixels, digits.target[part].tolist())

    def augmentation(self) -> Transform:
        # A digit stays itself when turned, shifted by a pixel or scaled a little, not when flipped.
        place = v2.RandomAffine(10, (1 / 8, 1 / 8), (0.9, 1.1), interpolation=v2.InterpolationMode.BILINEAR)
        return v2.Compose([place, self.normalisation()])

    def normalisation(self) -> Transform:
        # Mean and standard deviation of the training pixels.
        return v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.3054], [0.3760])])
