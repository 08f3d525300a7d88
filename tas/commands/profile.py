"""`tas profile`: what a found network takes, against the unpruned one it was cut from."""

import json
import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from tas.architecture import Architecture
from tas.config import ProfileOptions
from tas.errors import TasError, blame, explained
from tas.networks import open_network
from tas.profiling.measure import Effort, Profile, measure
from tas.profiling.report import profile_json, profile_text
from tas.reading.layer_calls import shape_of_output
from tas.runs.console import say
from tas.runs.load import load
from tas.runs.run import Run
from tas.space.of_network import search_space
from tas.timing.latency_cache import LatencyCache
from tas.timing.latency_model import SAMPLES, predicted_here
from tas.timing.setting import Setting


def profile_network(options: ProfileOptions) -> Profile:
    """Measure, and print what was measured; it is returned, too."""
    title, networks, shape = subjects(options)
    effort = Effort(
        batch_size=options.batch_size,
        threads=options.threads or torch.get_num_threads(),
        seconds=options.seconds,
        rounds=options.rounds,
        compile=options.compile,
        onnx=options.onnx,
    )
    profile = measure(networks, shape, effort, tell)
    table = latency_table(options, networks[0], shape) if options.latencies else None
    if options.json:
        told = {} if table is None else {"latency_table": table}
        say(json.dumps(profile_json(profile, title) | told, indent=2))
    else:
        say(profile_text(profile, title, options.layers))
        if table is not None:
            say(
                f"\nFor --latency-target, on {table['measured_on']}: predictions from layers are off by "
                f"{table['median_error']:.1%} (median) and {table['worst_error']:.1%} (worst of {SAMPLES} random "
                f"networks). Kept in {table['file']}"
            )
    return profile


def latency_table(options: ProfileOptions, network: nn.Module, shape: tuple[int, int, int]) -> dict[str, Any]:
    """Measure what --latency-target predicts by, for the candidates of `tas search`, and say how well that is done."""
    setting = Setting.of(options.timing)
    cache = LatencyCache.of(setting)
    with blame("--network"):
        space = search_space(network, torch.empty(1, *shape), name=options.network)
    found = predicted_here(network, space, setting, cache)
    errors = {"median_error": found.median_error, "worst_error": found.worst_error}
    return {"measured_on": str(setting), **errors, "file": str(cache.path)}


def subjects(options: ProfileOptions) -> tuple[str, Sequence[nn.Module], tuple[int, int, int]]:
    """What is profiled: in words; the networks, in eval mode; (C, H, W) of an image. TasError if there is none."""
    if options.run is not None:
        found = load(options.run)
        a = Architecture.load(Run(options.run).architecture)
        before = open_network(a.network, a.num_classes, a.in_channels).eval()
        shape = (a.in_channels, a.image_size, a.image_size)
        return f"{options.run}: {a.network} as it is (before) and as found (after)", (before, found), shape
    if options.network is None:
        raise TasError("--run is missing; name a finished run, tas profile runs/train/RUN, or a --network")
    size, channels = options.image_size or 32, options.in_channels or 3
    shape = (channels, size, size)
    with blame("--network"):
        network = open_network(options.network, options.num_classes or 10, channels).eval()
        try:
            shape_of_output(network, shape)
        except Exception as error:  # whatever the network's code raises
            raise TasError(
                f"{options.network} does not take images of {channels}x{size}x{size}, as --in-channels and "
                f"--image-size say ({explained(error)})"
            ) from None
    return f"{options.network}, as it is", (network,), shape


def tell(text: str) -> None:
    """Say what is being measured, where it does not mix with what was."""
    print(f"tas profile: {text} ...", file=sys.stderr, flush=True)
