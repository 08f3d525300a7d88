"""The methods of `tas prune` by name."""

from tas.pruning.autopruner import autopruner
from tas.pruning.blocks import sss
from tas.pruning.importance import fpgm, l1, taylor
from tas.pruning.random_search import random_search
from tas.pruning.reconstruction import reconstruction, thinet
from tas.pruning.slimming import slimming
from tas.pruning.task import Prune
from tas.pruning.uniform import uniform
from tas.pruning.unstructured import unstructured

METHODS: dict[str, Prune] = {
    "uniform": uniform,
    "random": random_search,
    "l1": l1,
    "fpgm": fpgm,
    "taylor": taylor,
    "slimming": slimming,
    "sss": sss,
    "thinet": thinet,
    "reconstruction": reconstruction,
    "autopruner": autopruner,
    "unstructured": unstructured,
}
"""Name -> method, as `tas.config.prune.METHODS` has them."""

WITHOUT_WEIGHTS = ("uniform", "random")
"""Methods that need no trained weights."""
