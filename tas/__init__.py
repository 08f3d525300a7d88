"""TAS: smaller image classifiers by transformable architecture search.

full = tas.Architecture.full("resnet56", num_classes=10)
net = tas.build(full)
tas.flops(net, (3, 32, 32))
tas.load("runs/train/...")
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tas.architecture import Architecture, build
    from tas.cost import flops, parameters
    from tas.errors import TasError
    from tas.runs import load

__all__ = ["Architecture", "TasError", "build", "flops", "load", "parameters"]

HOMES = {
    "Architecture": "tas.architecture",
    "TasError": "tas.errors",
    "build": "tas.architecture",
    "flops": "tas.cost",
    "load": "tas.runs",
    "parameters": "tas.cost",
}


def __getattr__(name: str) -> Any:
    # On first use: importing torch takes seconds, and `tas search --help` does not need it.
    if name not in HOMES:
        raise AttributeError(f"module 'tas' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(HOMES[name]), name)
