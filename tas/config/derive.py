"""The options of `tas derive`."""

from dataclasses import dataclass, field

from tas.config.checks import at_least, inside
from tas.config.groups import OTHER_RUN, WHERE, Machine
from tas.config.options import Options
from tas.config.targets import Target, Timing
from tas.errors import TasError


@dataclass(frozen=True, kw_only=True)
class DeriveOptions(Options):
    """Answer another budget from a finished search, in seconds: tas derive RUN --flops-target 0.3."""

    target: Target = Target()
    timing: Timing = Timing()
    machine: Machine = Machine()
    run: str | None = field(default=None, metadata=OTHER_RUN)
    """The finished search; its directory may stand first, without the flag."""
    front: int = 0
    """Write front.csv and front.png instead: the best networks at so many costs, from the smallest to the unpruned one,
    with their predicted accuracy; of the FLOPs, or of the parameters where they alone have a target."""
    draws: int | None = None
    """Draws of the scores, as for the search; none takes the search's."""
    data_dir: str | None = field(default=None, metadata=WHERE)
    """Directory of the data set where it is another one than the search's."""
    output: str | None = field(default=None, metadata=WHERE)
    """Directory for what the run leaves; none makes runs/derive/NETWORK-DATA-TIME."""

    def __post_init__(self) -> None:
        inside("front", self.front, self.front == 0 or self.front >= 2, "0, or 2 and more")
        if self.front and len(targets := self.target.amounts()) > 1:
            flags = " and ".join(f"--{name}-target" for name in targets)
            raise TasError(f"--front goes over one cost, not over {flags}; give one of them")
        if self.draws is not None:
            at_least(1, draws=self.draws)
