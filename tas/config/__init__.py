"""Options: each once, in groups; commands made of groups; flags and YAML turned into them. Nothing here needs torch."""

from tas.config.compare import CompareOptions as CompareOptions
from tas.config.derive import DeriveOptions as DeriveOptions
from tas.config.export import ExportOptions as ExportOptions
from tas.config.predict import PredictOptions as PredictOptions
from tas.config.profile import ProfileOptions as ProfileOptions
from tas.config.prune import PruneOptions as PruneOptions
from tas.config.search import SearchOptions as SearchOptions
from tas.config.train import TrainOptions as TrainOptions
