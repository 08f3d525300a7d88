"""Whether a search's step is the same sliced, masked and compiled, on a device: the gradients of all that learns.

    python benchmarks/alike.py --network resnet20 mobilenetv2
    python benchmarks/alike.py --network resnet20 --device cpu --no-compile

A row for each network, strategy and way: the largest difference from the sliced supernet's, as a share of the largest
gradient. float32 leaves some 1e-5, and convolutions in tf32, which is turned off here, would leave 1e-2. On a GPU also
what some captured iterations, recorded and replayed, make of the parameters, against masked ones: the largest
difference as a share of the largest change, which grows with the number of iterations.
"""

import argparse
import json
from collections.abc import Sequence

import torch
from search_step import ITERATIONS, search_of
from torch import Tensor

from tas.search.captured import WARM
from tas.search.computing import Idle, Way
from tas.search.strategy import Moment, iterate
from tas.supernet.check import lively
from tas.supernet.choice import Compute

STRATEGIES = (("sandwich", "pad"), ("gumbel-mixture", "pad"), ("gumbel-mixture", "interpolate"))
"""Each with its alignment."""

WAYS: dict[str, tuple[Compute, bool]] = {"sliced": ("sliced", False), "masked": ("masked", False)}
"""Name -> how layers compute, and whether torch.compile takes them."""


def gradients(name: str, way: tuple[Compute, bool], options: argparse.Namespace) -> list[Tensor]:
    """Those of one iteration in the middle of a search, in which nothing is updated."""
    search, _ = search_of(name, 2, options)
    supernet = search.strategy.supernet
    torch.manual_seed(0)
    lively(supernet)
    supernet.compute_by(*way)
    idle = [Idle() for _ in search.optimizers]
    iterate(search.strategy, search.batch, Moment(ITERATIONS // 2, ITERATIONS, written=False), idle, Tensor.backward)
    return [torch.zeros_like(p) if p.grad is None else p.grad for p in supernet.parameters()]


def learned(name: str, way: Way, options: argparse.Namespace) -> list[Tensor]:
    """How far a few iterations in the middle of a search move each parameter."""
    search, _ = search_of(name, 2, argparse.Namespace(**vars(options) | {"compute": way}))
    parameters = [*search.strategy.supernet.parameters()]
    before = [parameter.detach().clone() for parameter in parameters]
    for _ in range(WARM + 3):
        search.iteration()
    return [parameter.detach() - own for parameter, own in zip(parameters, before, strict=True)]


def furthest(own: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    """The largest difference, as a share of the largest number of all."""
    largest = max(float(other.abs().max()) for other in others)
    return max(float((a - b).abs().max()) for a, b in zip(own, others, strict=True)) / largest


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", nargs="+", default=["resnet20", "mobilenetv2"])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"])
    parser.add_argument("--image-size", type=int, default=32, help="height and width, in pixels")
    parser.add_argument("--batch-size", type=int, default=48)
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    torch.backends.cudnn.allow_tf32 = False
    ways = WAYS | ({"compiled": ("masked", True)} if options.compile else {})
    for name in options.network:
        for strategy, align in STRATEGIES:
            given = vars(options) | {"strategy": strategy, "align": align, "compute": "sliced"}
            given |= {"depth_training": "drawn", "precision": "float32"}
            row = {"network": name, "strategy": strategy, "align": align, "device": options.device}
            if options.device == "cuda":
                masked, captured = (learned(name, way, argparse.Namespace(**given)) for way in ("masked", "captured"))
                print(json.dumps(row | {"way": "captured", "learned_differs_by": furthest(captured, masked)}))
            own = {way: gradients(name, how, argparse.Namespace(**given)) for way, how in ways.items()}
            for way in [*ways][1:]:
                gap = furthest(own[way], own["sliced"])
                print(json.dumps(row | {"way": way, "gradients_differ_by": gap}), flush=True)


if __name__ == "__main__":
    main()
