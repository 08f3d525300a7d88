"""The network of a finished run, with its weights."""

import os

from torch import nn

from tas.architecture import Architecture
from tas.cutting.build import build
from tas.errors import TasError, gist
from tas.networks.weights import versioned
from tas.runs.console import say_code
from tas.runs.run import Run
from tas.runs.weights_file import load_state


def load(path: str | os.PathLike[str]) -> nn.Module:
    """The network of a finished run with its weights, on the CPU, in eval mode: of a training the trained ones.

    It takes images normalised as in its training. Nothing is unpickled but tensors; only a network that its
    architecture.json calls package.module:factory is made by code that is not TAS's, which is said on stderr.

    Args:
        path: Directory of the run, as a command leaves it.

    Raises:
        TasError: The directory holds no finished run, or its files do not fit together.
    """
    run = Run(path)
    if not run.path.is_dir():
        raise TasError(f"{path}: no such directory")
    weights = run.kept_weights()
    if weights is None or not run.finished():
        raise TasError(f"{path}: not a finished run; it lacks metrics.json or {run.weights.name}")
    architecture = Architecture.load(run.architecture)
    say_code(architecture.network, run.architecture)
    network, state = build(architecture), load_state(weights)
    try:
        network.load_state_dict(versioned(state, network))
    except Exception as error:
        raise TasError(f"{weights}: does not hold the weights of {run.architecture} ({gist(error, 200)})") from None
    return network.eval()
