"""Options: each once, in groups; commands made of groups; flags and YAML turned into them. Nothing here needs torch."""

from tas.config.compare import CompareOptions
from tas.config.prune import PruneOptions
from tas.config.search import SearchOptions
from tas.config.train import TrainOptions

__all__ = ["CompareOptions", "PruneOptions", "SearchOptions", "TrainOptions"]
