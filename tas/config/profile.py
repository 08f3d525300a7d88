"""The options of `tas profile`."""

from dataclasses import dataclass, field

from tas.config.checks import above, at_least
from tas.config.groups import OTHER_RUN
from tas.config.options import Options
from tas.config.targets import Timing
from tas.errors import TasError


@dataclass(frozen=True, kw_only=True)
class ProfileOptions(Options):
    """Say what a found network saves in time, memory and size: tas profile runs/train/RUN."""

    timing: Timing = Timing()
    run: str | None = field(default=None, metadata=OTHER_RUN)
    """The finished run, of any command that leaves a network; its directory may stand first, without the flag. Its
    network is held against the unpruned one that it was cut from."""
    network: str | None = None
    """Profile this network alone, as `tas search --network` takes it, in the place of a run."""
    image_size: int | None = None
    """With --network: height and width of the images, in pixels; none is 32. A run has its own."""
    in_channels: int | None = None
    """With --network: channels of the images; none is 3. A run has its own."""
    num_classes: int | None = None
    """With --network: length of the logits; none is 10. A run has its own."""
    batch_size: int = 64
    """Images in the large batch, which is timed beside a single image."""
    threads: int | None = None
    """Threads of the CPU, but for --latencies; none takes as many as torch does of itself."""
    compile: bool = False
    """Time the networks as torch.compile makes them, too; it compiles each for each batch."""
    onnx: bool = True
    """Time the networks in ONNX Runtime, too, where it is installed (pip install "tas[export]"); exporting a network
    takes some ten seconds."""
    latencies: bool = False
    """With --network: time its layers and random networks of its space, too, on what --latency-device, ... say, and
    say how far predictions of --latency-target are off; a search with the same candidates finds all in the
    cache."""
    seconds: float = 5.0
    """Time, about, for each comparison of two latencies, warm-up apart; large batches of large networks take more."""
    rounds: int = 30
    """Measurements of each network in a comparison, the networks by turns, where the seconds allow that many; 5 are
    taken in any case."""
    layers: int = 12
    """Lines of the table of layers, those that take longest; what the others take is added up in one."""
    json: bool = False
    """Print one JSON object, and nothing else, to the standard output; times in seconds, sizes in bytes."""

    def __post_init__(self) -> None:
        at_least(1, batch_size=self.batch_size, layers=self.layers)
        at_least(5, rounds=self.rounds)
        above(0, seconds=self.seconds)
        for name in ("threads", "image_size", "in_channels", "num_classes"):
            if getattr(self, name) is not None:
                at_least(1, **{name: getattr(self, name)})
        if not self.latencies and self.timing != Timing():
            raise TasError("--latency-device, -runtime, -batch and -threads go with --latencies")
        if self.run is not None and self.network is not None:
            raise TasError("--run and --network exclude each other; give one")
        if self.latencies and self.network is None:
            raise TasError("--latencies goes with --network")
        if self.run is not None:
            for name in ("image_size", "in_channels", "num_classes"):
                if getattr(self, name) is not None:
                    raise TasError(f"--{name.replace('_', '-')} goes with --network; a run has its own")
