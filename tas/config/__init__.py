"""The options of the commands: one field each, for Python, YAML and flags alike."""

from tas.config.checks import flag
from tas.config.common import CommonOptions, RecipeOptions
from tas.config.compare import CompareOptions
from tas.config.files import read_yaml
from tas.config.prune import PruneOptions
from tas.config.search import SearchOptions
from tas.config.train import TrainOptions

__all__ = [
    "CommonOptions",
    "CompareOptions",
    "PruneOptions",
    "RecipeOptions",
    "SearchOptions",
    "TrainOptions",
    "flag",
    "read_yaml",
]
