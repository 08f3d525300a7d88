"""Where the time of a plain step and of a search's two steps goes, by kind of operation.

    python benchmarks/profile_step.py --network resnet56

The three steps run one after the other under torch's profiler, whose own cost is in "everything else".
"""

import argparse
import json
import statistics
from collections import Counter

import torch
from search_step import Step, circumstances, plain_step, search_of
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

from tas.config.environment import set_environment
from tas.training.memory import keep_freed_memory

KINDS = {
    "aten::native_batch_norm": "normalisation",
    "aten::native_batch_norm_backward": "normalisation",
    "aten::batch_norm_update_stats": "normalisation",
    "aten::addcmul_": "normalisation",
    "aten::clamp_min": "ReLU",
    "aten::threshold_backward": "ReLU",
}
"""Operation -> kind; convolutions are told apart by their kernels, what is in none is everything else."""


CONVOLUTIONS = ("aten::convolution_backward", "aten::mkldnn_convolution")
"""Operations that are counted with all that they call."""


def within_convolution(event: FunctionEvent) -> bool:
    """Whether an operation is called by a convolution, and so counted with it."""
    parent = event.cpu_parent
    return parent is not None and (parent.name in CONVOLUTIONS or within_convolution(parent))


def spent(step: Step) -> Counter[str]:
    """Milliseconds of one step by kind of operation."""
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
        step()
    times: Counter[str] = Counter()
    for event in profiler.events() or []:
        if event.name in CONVOLUTIONS:
            backward = event.name.endswith("backward")
            kernel = event.input_shapes[2 if backward else 1][2:]
            size = "1x1" if list(kernel) == [1, 1] else "3x3"
            times[f"{size} convolutions, {'backward' if backward else 'forward'}"] += event.cpu_time_total / 1e3
        elif not within_convolution(event):
            times[KINDS.get(event.name, "everything else")] += event.self_cpu_time_total / 1e3
    return times


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="resnet56")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--samples", type=int, default=2, help="|I|")
    parser.add_argument("--align", default="pad", choices=["pad", "interpolate"], help="how candidates are mixed")
    parser.add_argument(
        "--depth-training", default="drawn", choices=["drawn", "mixed"], help="what the weights learn on"
    )
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args()
    options.device, options.precision, options.image_size, options.pairs = "cpu", "float32", 32, options.rounds
    options.strategy, options.compute = "gumbel-mixture", "sliced"
    set_environment()
    keep_freed_memory()
    search, network = search_of(options.network, options.samples, options)
    network = network.to(memory_format=torch.channels_last)
    plain = plain_step(network, search.images, search.labels, search.autocast)
    steps = {"plain": plain, **dict(zip(("weights", "architecture"), search.parts(), strict=True))}
    for step in steps.values():
        step()
    rounds = [{name: spent(step) for name, step in steps.items()} for _ in range(options.rounds)]
    for kind in sorted({kind for times in rounds for counter in times.values() for kind in counter}):
        row = {name: round(statistics.median(times[name][kind] for times in rounds), 1) for name in steps}
        print(json.dumps({"network": options.network, "kind": kind} | {f"{name}_ms": ms for name, ms in row.items()}))
    print(json.dumps(circumstances(options)))


if __name__ == "__main__":
    main()
