"""The options of `tas predict`."""

from dataclasses import dataclass, field

from tas.config.checks import at_least
from tas.config.groups import OTHER_RUN
from tas.config.options import Options


@dataclass(frozen=True, kw_only=True)
class PredictOptions(Options):
    """Tell the classes of image files by a trained network: tas predict RUN IMAGE..."""

    run: str | None = field(default=None, metadata=OTHER_RUN)
    """The finished run; its directory may stand first, without the flag, and the images after it."""
    images: tuple[str, ...] = ()
    """Image files of any size, which are brought to that of the run's images."""
    top: int = 5
    """Classes to tell of each image, at most."""
    json: bool = False
    """Print one JSON object a line for each image, and nothing else."""

    def __post_init__(self) -> None:
        at_least(1, top=self.top)
