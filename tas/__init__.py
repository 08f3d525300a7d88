"""TAS: smaller image classifiers by transformable architecture search.

space = tas.search_space(network, images)
supernet = tas.Supernet(network, space)
network = tas.build(tas.Architecture.load("architecture.json"))
tas.flops(network, (3, 32, 32))
tas.load("runs/train/...")
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same names for type checkers, which do not follow `__getattr__`
    from tas.architecture import Architecture as Architecture
    from tas.cost.budget import Budget as Budget
    from tas.cost.count import flops as flops
    from tas.cost.count import parameters as parameters
    from tas.cutting.build import build as build
    from tas.cutting.cut import cut as cut
    from tas.errors import TasError as TasError
    from tas.runs.load import load as load
    from tas.space.derivation import derive as derive
    from tas.space.of_network import search_space as search_space
    from tas.space.space import SearchSpace as SearchSpace
    from tas.supernet.supernet import Supernet as Supernet

HOMES = {
    "Architecture": "tas.architecture",
    "Budget": "tas.cost.budget",
    "SearchSpace": "tas.space.space",
    "Supernet": "tas.supernet.supernet",
    "TasError": "tas.errors",
    "build": "tas.cutting.build",
    "cut": "tas.cutting.cut",
    "derive": "tas.space.derivation",
    "flops": "tas.cost.count",
    "load": "tas.runs.load",
    "parameters": "tas.cost.count",
    "search_space": "tas.space.of_network",
}
"""Public name -> the module that defines it."""

__all__ = list(HOMES)


def __getattr__(name: str) -> Any:
    # On first use: importing torch takes seconds, and `tas search --help` does not need it.
    if name not in HOMES:
        raise AttributeError(f"module 'tas' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
