"""How strong an L1 penalty has to be to matter in a training of a given length."""

SHRINKAGE = 1.0
"""What the penalty takes over a training from a factor that nothing holds back: as much as such factors start with."""


def shrinking_weight(lr: float, steps: int, momentum: float) -> float:
    """The weight of an L1 penalty that shrinks a factor by SHRINKAGE over a training by SGD.

    Every step takes weight x learning rate from a factor, and with momentum 1 / (1 - momentum) times that in the long
    run. Along a cosine from lr to 0 the learning rates sum up to lr x (steps + 1) / 2.

    Args:
        lr: The learning rate at the start.
        steps: Of the training.
        momentum: What the penalty's gradient goes through; 0 where the penalty shrinks factors directly.
    """
    return SHRINKAGE * (1 - momentum) / (lr * (steps + 1) / 2)
