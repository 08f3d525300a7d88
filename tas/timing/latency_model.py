"""The latency of every network of a space, from the times of its layers and of some whole networks."""

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
from torch import nn
from tqdm import tqdm

from tas.architecture import Architecture
from tas.config.targets import Target, Timing
from tas.cost.latency import LatencyCost, held_out_errors
from tas.cost.measures import MEASURES, Measure
from tas.errors import TasError
from tas.runs.console import warn
from tas.space.space import SearchSpace
from tas.timing.interleaved import ratios
from tas.timing.latency_cache import LatencyCache, cache_file, measuring_alone
from tas.timing.layer_table import layer_grids
from tas.timing.onnx_runtime import OnnxRuntimeError
from tas.timing.setting import Setting
from tas.timing.stopwatch import Stopwatch, Subject

SAMPLES = 20
"""Random networks that are measured whole."""

SAMPLE_FOLDS = 5
"""Parts of them, each of which is predicted by the others."""

SAMPLE_SECONDS, SAMPLE_ROUNDS = 0.5, 15
"""Time for each, by turns with the unpruned network, and measurements, at most."""

STEADY = 0.15
"""The distance of the quartiles of times, as a share of the median, up to which nothing is said of it."""

Progress = Callable[[Sequence[str]], Iterable[str]]
"""Shows how far a loop over names has come, as tqdm does."""


@dataclass(frozen=True)
class PredictedLatency:
    """The latency of every network of a space, and how far such predictions are off."""

    setting: Setting
    latency: LatencyCost
    full_seconds: float
    """What the unpruned network takes, measured."""
    median_error: float
    """Of `SAMPLES` random networks, each predicted without it: the median of |predicted / measured - 1|."""
    worst_error: float
    """The largest."""

    @property
    def errors(self) -> tuple[float, float]:
        """The median and the largest error."""
        return self.median_error, self.worst_error

    @property
    def measure(self) -> Measure:
        """The predicted latency as a cost."""
        return self.latency.measure


def predicted_latency(
    network: nn.Module,
    space: SearchSpace,
    setting: Setting,
    cache: LatencyCache,
    progress: Progress = iter,
) -> PredictedLatency:
    """Measure what the cache does not know, and fit.

    Args:
        network: The unpruned one, on the CPU; it is not changed.
        space: Around it.
        setting: What is measured on.
        cache: Of that setting; what is measured is kept in it.
        progress: Shows how far measuring has come.

    Raises:
        OnnxRuntimeError: The networks cannot be run there.
    """
    known = len(cache.layers)
    grids = layer_grids(network, space, setting, cache.layers, progress)
    if len(cache.layers) > known:
        cache.write()
    networks = sampled_networks(space, SAMPLES)
    full_seconds, times = whole_times(network, space, networks, setting, cache, progress)
    latency = LatencyCost(grids, setting.batch)
    rows = np.array([latency.parts(space.plan, network) for network in networks])
    errors = held_out_errors(rows, np.array(times), SAMPLE_FOLDS)
    fitted = latency.fitted(space.plan, [space.full, *networks], [full_seconds, *times])
    found = PredictedLatency(setting, fitted, full_seconds, float(np.median(errors)), float(errors.max()))
    told = {"network": space.full.network, "median_error": found.median_error, "worst_error": found.worst_error}
    if cache.errors.get(key_of_space(space)) != told:
        cache.errors[key_of_space(space)] = told
        cache.write()
    return found


def predicted_for(target: Target, timing: Timing, network: nn.Module, space: SearchSpace) -> PredictedLatency | None:
    """What latencies are predicted by, where one is aimed at: as measured on this machine before, or now.

    Raises:
        TasError: It cannot be measured here.
    """
    if "latency" not in target.amounts():
        return None
    setting = Setting.of(timing)
    with measuring_alone(cache_file(setting)[0]):
        return predicted_here(network, space, setting, LatencyCache.of(setting))


def predicted_here(network: nn.Module, space: SearchSpace, setting: Setting, cache: LatencyCache) -> PredictedLatency:
    """As `predicted_latency`, with a bar that shows how far it has come. TasError if it cannot be measured here."""
    with latency_blamed():
        shown = partial(tqdm, desc=f"latency, {setting}", unit="part", leave=False)
        return predicted_latency(network, space, setting, cache, shown)


@contextmanager
def latency_blamed() -> Iterator[None]:
    """TasError, naming the options' family, where networks cannot be run in what is measured on."""
    try:
        yield
    except OnnxRuntimeError as error:
        raise TasError(f"--latency-runtime: ONNX Runtime cannot take this network ({error})") from None


def known_measures(predicted: PredictedLatency | None, peak: Measure | None = None) -> Mapping[str, Measure]:
    """Name -> measure, of those that are counted, and of latency and peak memory where these are predicted."""
    latency = {} if predicted is None else {"latency": predicted.measure}
    return {**MEASURES, **latency, **({} if peak is None else {peak.name: peak})}


def sampled_networks(space: SearchSpace, count: int) -> list[Architecture]:
    """Networks from all over a space, always the same: about as many near its smallest as near the unpruned one."""
    generator = random.Random(0)
    found = []
    for place in range(count):
        level = (place + 0.5) / count
        chosen = {
            name: candidates[round(min(1.0, max(0.0, level + generator.gauss(0.0, 0.25))) * (len(candidates) - 1))]
            for name, candidates in {**space.widths, **space.depths}.items()
        }
        found.append(space.choose({n: chosen[n] for n in space.widths}, {n: chosen[n] for n in space.depths}))
    return found


def key_of_space(space: SearchSpace) -> str:
    """A space as a key in files: another network, image or candidate is another key."""
    words = f"{space.full} {space.plan.layers} {dict(space.widths)} {dict(space.depths)}"
    return hashlib.sha256(words.encode()).hexdigest()[:16]


def whole_times(
    network: nn.Module,
    space: SearchSpace,
    networks: Sequence[Architecture],
    setting: Setting,
    cache: LatencyCache,
    progress: Progress,
) -> tuple[float, list[float]]:
    """What the unpruned network takes, and what each of the others: seconds."""
    key = key_of_space(space)
    names = [f"{key} {place}" for place in range(len(networks))]
    missing = [name for name in names if name not in cache.networks]
    if missing:
        watch = Stopwatch(Subject(network, space.plan, space.full), setting)
        scatter = []
        for name in progress(missing):
            times = watch.times(networks[names.index(name)], SAMPLE_SECONDS, SAMPLE_ROUNDS)
            share = ratios(*times)
            cache.networks[name] = [float(np.median(times[0])), share.median]
            scatter.append(share.scatter)
            cache.write()
        if float(np.median(scatter)) > STEADY:
            warn(
                "latency",
                f"times scatter by {np.median(scatter):.0%} here: other work on the machine, it seems; they "
                f"are kept in {cache.path}; where that is over, delete it, and they are measured anew",
            )
    full_seconds = float(np.median([cache.networks[name][0] for name in names]))
    return full_seconds, [full_seconds * cache.networks[name][1] for name in names]
