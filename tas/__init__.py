"""TAS: smaller image classifiers by transformable architecture search.

space = tas.search_space(network, images)
supernet = tas.Supernet(network, space)
network = tas.build(tas.Architecture.load("architecture.json"))
tas.flops(network, (3, 32, 32))
tas.load("runs/train/...")
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tas.architecture import Architecture
    from tas.budget import Budget
    from tas.building import build
    from tas.cost import flops, parameters
    from tas.cutting import cut
    from tas.derivation import derive
    from tas.errors import TasError
    from tas.runs import load
    from tas.space import SearchSpace, search_space
    from tas.supernet import Supernet

__all__ = [
    "Architecture",
    "Budget",
    "SearchSpace",
    "Supernet",
    "TasError",
    "build",
    "cut",
    "derive",
    "flops",
    "load",
    "parameters",
    "search_space",
]

HOMES = {
    "Architecture": "tas.architecture",
    "Budget": "tas.budget",
    "SearchSpace": "tas.space",
    "Supernet": "tas.supernet",
    "TasError": "tas.errors",
    "build": "tas.building",
    "cut": "tas.cutting",
    "derive": "tas.derivation",
    "flops": "tas.cost",
    "load": "tas.runs",
    "parameters": "tas.cost",
    "search_space": "tas.space",
}


def __getattr__(name: str) -> Any:
    # On first use: importing torch takes seconds, and `tas search --help` does not need it.
    if name not in HOMES:
        raise AttributeError(f"module 'tas' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(HOMES[name]), name)
