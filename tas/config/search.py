"""The options of `tas search`."""

import re
from dataclasses import dataclass
from typing import Literal

from tas.config.checks import inside
from tas.config.groups import Dataset, Keeping, Machine, Recipe, Source, Space, Strategy, check_not_compiled
from tas.config.options import Options
from tas.config.targets import Target, Timing
from tas.errors import TasError


@dataclass(frozen=True, kw_only=True)
class SearchOptions(Options):
    """Find a smaller network within a budget."""

    source: Source = Source()
    dataset: Dataset = Dataset()
    target: Target = Target()
    timing: Timing = Timing()
    space: Space = Space()
    strategy: Strategy = Strategy()
    recipe: Recipe = Recipe(epochs=40)
    machine: Machine = Machine()
    keeping: Keeping = Keeping()
    init: Literal["scratch", "teacher"] | None = None
    """How the search starts: teacher, from the given trained weights with their channels sorted by importance; or
    scratch, and weights that are given are the teacher's of `tas train --kd` alone. None takes teacher where weights
    are given."""

    compile: bool = False
    """Compile the steps with torch.compile, which takes time at the start: for long searches. They are masked then, or
    captured where they can be (--compute)."""

    def __post_init__(self) -> None:
        if self.compile and self.strategy.compute == "sliced":
            raise TasError("--compile goes with every --compute but sliced, with which shapes are others in every step")
        if self.machine.sync_batchnorm and self.strategy.align == "interpolate" and self.strategy.compute != "masked":
            raise TasError("--sync-batchnorm with --align interpolate needs --compute masked")
        check_not_compiled(self.machine, self.compile)
        if self.init == "teacher" and not self.source.trained:
            raise TasError("--init teacher needs trained weights: give --pretrained or --weights")
        if self.recipe.epochs == 0:
            sandwich = self.strategy.strategy == "sandwich"
            inside(
                "epochs", 0, sandwich, "1 and more; 0 goes with --strategy sandwich, which then asks trained weights"
            )
            one = re.fullmatch("auto|1|[0-9]+,", self.machine.devices) and self.machine.num_nodes == 1
            inside(
                "devices", self.machine.devices, bool(one), "1 with --epochs 0, which trains nothing, on one machine"
            )
            inside("epochs", 0, self.source.trained and self.init != "scratch", "1 and more without trained weights")
        kinds, samples = len(set(self.space.ratios)), self.strategy.samples
        if self.strategy.strategy == "gumbel-mixture":
            inside("samples", samples, samples <= kinds, f"1 to the {kinds} --ratios")
