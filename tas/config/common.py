"""What every command takes."""

from dataclasses import dataclass

from tas.config.checks import above, at_least, inside


@dataclass(frozen=True, kw_only=True)
class RecipeOptions:
    """What a single run and a comparison of many both take."""

    image_size: int | None = None
    """With --data folder: height and width, in pixels, to which images are brought; none leaves them as they are. With
    --data imagenet: height and width of the crops; none is 224."""
    train_images: int | None = None
    """Use no more than so many of the training images, equally many of every class: the first ones. None uses all."""
    batch_size: int = 64
    """Images in a batch."""
    workers: int = 0
    """Processes that make batches of images; 0 makes them in the main one."""
    lr: float = 0.1
    """Learning rate of the weights at the start; it falls to 0 along a cosine."""
    momentum: float = 0.9
    """Nesterov momentum of the weights' SGD."""
    weight_decay: float = 5e-4
    """L2 penalty of the weights' SGD."""
    epochs: int
    """Passes over the training images."""
    output: str | None = None
    """Directory for what the run leaves; none makes runs/COMMAND/NETWORK-DATA-TIME."""
    accelerator: str = "auto"
    """Lightning's: cpu, gpu, mps, ... or auto."""
    precision: str = "32-true"
    """Lightning's: 32-true, bf16-mixed, 16-mixed, ..."""

    def __post_init__(self) -> None:
        at_least(1, batch_size=self.batch_size, epochs=self.epochs)
        at_least(0, workers=self.workers, weight_decay=self.weight_decay)
        above(0, lr=self.lr)
        inside("momentum", self.momentum, 0 <= self.momentum < 1, "from 0 to below 1")
        if self.train_images is not None:
            at_least(1, train_images=self.train_images)
        if self.image_size is not None:
            at_least(8, image_size=self.image_size)


@dataclass(frozen=True, kw_only=True)
class CommonOptions(RecipeOptions):
    """What every command takes that is a single run."""

    seed: int = 0
    """Of initialisation, splits, shuffles, augmentation and sampling."""
    resume: str | None = None
    """Directory of an interrupted run to go on with, from its last checkpoint and with its options."""
    devices: str = "auto"
    """Lightning's: how many devices, or which."""
    strategy: str = "auto"
    """Lightning's: ddp, fsdp, ... or auto."""
    num_nodes: int = 1
    """Lightning's: how many machines."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, num_nodes=self.num_nodes)
        inside("seed", self.seed, 0 <= self.seed < 2**32, "0 to 4294967295")
