"""TAS: smaller image classifiers by transformable architecture search.

A search learns how many channels each convolution of a network keeps, and how many blocks each stage, inside a budget:

    network = tas.open_network("resnet56", num_classes=10)   # or any nn.Module that torch.fx can follow
    space = tas.search_space(network, images)                # what can be chosen; images (1, C, H, W) show the shape
    tas.check_supernet(network, space)                       # refuses a network of which a supernet would be another
    supernet = tas.Supernet(network, space)                  # all candidate networks at once
    budget = tas.Budget(0.5 * tas.flops(network, (3, 32, 32)))
    search = tas.SearchModule(supernet, [budget], tas.Recipe(epochs=40))   # a LightningModule, for a pl.Trainer
    found = tas.finish_search(search, network, [budget], batches, judging=lambda: held_out)

What a command or `Architecture.save` left is had again:

    tas.build(tas.Architecture.load("architecture.json"))    # the network, freshly initialised
    tas.load("runs/train/...")                               # with its trained weights
    tas.predict("runs/train/...", ["image.png"])             # the classes of image files, by it

The names below, each with its own help:

    open_network, search_space, SearchSpace, check_supernet, Supernet, SearchModule, Recipe, Strategy, Budget,
    finish_search                                                                       searching
    Architecture, derive, cut, build, load, predict                                     architectures and their networks
    flops, parameters, FLOPS, PARAMS                                                    what a network costs
    TasError                                                                            what all bad input raises

The commands do all of it: `tas search --help`, `tas train --help`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same names for type checkers, which do not follow `__getattr__`
    from tas.architecture import Architecture as Architecture
    from tas.config.groups import Recipe as Recipe
    from tas.config.groups import Strategy as Strategy
    from tas.cost.budget import Budget as Budget
    from tas.cost.count import flops as flops
    from tas.cost.count import parameters as parameters
    from tas.cost.measures import FLOPS as FLOPS
    from tas.cost.measures import PARAMS as PARAMS
    from tas.cutting.build import build as build
    from tas.cutting.cut import cut as cut
    from tas.errors import TasError as TasError
    from tas.networks import open_network as open_network
    from tas.runs.load import load as load
    from tas.runs.prediction import predict as predict
    from tas.search.finish import finish_search as finish_search
    from tas.search.module import SearchModule as SearchModule
    from tas.space.derivation import derive as derive
    from tas.space.of_network import search_space as search_space
    from tas.space.space import SearchSpace as SearchSpace
    from tas.supernet.check import check_supernet as check_supernet
    from tas.supernet.supernet import Supernet as Supernet

HOMES = {
    "Architecture": "tas.architecture",
    "Budget": "tas.cost.budget",
    "FLOPS": "tas.cost.measures",
    "PARAMS": "tas.cost.measures",
    "Recipe": "tas.config.groups",
    "SearchModule": "tas.search.module",
    "SearchSpace": "tas.space.space",
    "Strategy": "tas.config.groups",
    "Supernet": "tas.supernet.supernet",
    "TasError": "tas.errors",
    "build": "tas.cutting.build",
    "check_supernet": "tas.supernet.check",
    "cut": "tas.cutting.cut",
    "derive": "tas.space.derivation",
    "finish_search": "tas.search.finish",
    "flops": "tas.cost.count",
    "load": "tas.runs.load",
    "open_network": "tas.networks",
    "parameters": "tas.cost.count",
    "predict": "tas.runs.prediction",
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
