"""Time a search iteration against a plain training step of the unpruned network, and against eq. 4 taken literally.

    python benchmarks/search_step.py --network resnet20 resnet56 --pairs 10
    python benchmarks/search_step.py --network torchvision/resnet18 --image-size 64 --no-literal
    python benchmarks/search_step.py --network resnet20 --samples 1 2 3 5 8
    python benchmarks/search_step.py --strategy sandwich --no-literal --warmup 300

One pair is a plain step, a search iteration (of gumbel-mixture, unless another strategy is asked for, a weight step and
an architecture step) and optionally a literal iteration, one after the other in one process, so that whatever else the
machine does meets all.
The plain step is that of the unpruned network in the memory format, compiled or not, in which it takes least.
"""

import argparse
import copy
import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from literal import LiteralMixtures, make_literal
from memory import peak_bytes, saved_bytes
from torch import Tensor, nn

from tas.architecture import Architecture
from tas.config.environment import set_environment
from tas.config.groups import Recipe, Space, Strategy
from tas.cost.budget import Budget
from tas.cost.measures import FLOPS
from tas.data.cifar import Cifar10
from tas.data.images import Images, SearchData
from tas.networks import open_network
from tas.reading.readers import read_plan
from tas.runs.provenance import processor_name
from tas.search.computing import Way, iterations
from tas.search.strategies.gumbel_mixture import GumbelMixture
from tas.search.strategies.sandwich import Sandwich
from tas.search.strategy import Moment
from tas.space.space import SearchSpace
from tas.supernet.supernet import Supernet
from tas.training.memory import keep_freed_memory

Step = Callable[[], None]
CLASSES = 10
ITERATIONS = 10_000
"""Of the search that is timed in its middle."""


@dataclass(frozen=True)
class Row:
    """What is measured of one network; times are medians, in milliseconds."""

    network: str
    batch_size: int
    strategy: str
    samples: int
    align: str
    depth_training: str
    plain_ms: float
    search_ms: float
    literal_ms: float | None
    ratio: float
    """Median over the pairs of search iteration / plain step."""
    ratio_min: float
    ratio_max: float
    literal_ratio: float | None
    saved_bytes_ratio: float
    """What an iteration keeps at most for one of its backward passes / what a plain step keeps."""
    peak_memory_ratio: float
    """Peak of allocated memory above that before the step, search iteration / plain step."""
    data_wait_share: float
    """Of an iteration with its data: the time until two augmented batches of images in memory are there."""
    plain_setting: str
    warmup: int
    """Pairs before those that were timed."""


class Search:
    """A search's iterations on one batch, by the strategy itself, without Lightning around it.

    Args:
        strategy: As a search has it, or literal.
        images, labels: One batch, which serves both steps.
        autocast: Makes the context of a step.
        way: How iterations are computed.
    """

    def __init__(
        self,
        strategy: GumbelMixture | Sandwich,
        images: Tensor,
        labels: Tensor,
        autocast: Callable[[], AbstractContextManager],
        way: Way,
    ) -> None:
        self.strategy, self.images, self.labels, self.autocast = strategy, images, labels, autocast
        self.batch = {"weights": (images, labels), "architecture": (images, labels)}
        self.optimizers = strategy.optimizers()
        self.iterate = iterations(strategy, way, self.optimizers, Tensor.backward)
        self.moments = (
            Moment(ITERATIONS // 2 + number, ITERATIONS, written=False) for number in range(ITERATIONS // 2)
        )

    def iteration(self) -> None:
        """All of it, in the middle of a search."""
        with self.autocast():
            self.iterate(self.batch, next(self.moments))

    def parts(self) -> list[Step]:
        """The two steps of the mixture by themselves; those of another strategy in one."""
        strategy, (weights, *logits) = self.strategy, self.optimizers
        if not isinstance(strategy, GumbelMixture):

            def learn() -> None:
                with self.autocast():
                    strategy.learn(self.batch, strategy.given(next(self.moments)), self.optimizers, Tensor.backward)

            return [learn]
        tau = (strategy.options.tau_start + strategy.options.tau_end) / 2

        def weights_step() -> None:
            with self.autocast():
                strategy.weights_step(self.batch["weights"], weights, Tensor.backward, tau)

        def architecture_step() -> None:
            with self.autocast():
                strategy.architecture_step(self.batch["architecture"], logits[0], Tensor.backward, tau)

        return [weights_step, architecture_step]


def training_step(network: nn.Module, loss: Callable[[], Tensor], foreach: bool | None = None) -> Step:
    """A step of SGD on a network's loss; `foreach` as of the optimiser."""
    optimizer = torch.optim.SGD(
        network.parameters(), 0.01, momentum=0.9, nesterov=True, weight_decay=5e-4, foreach=foreach
    )

    def step() -> None:
        value = loss()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

    return step


def plain_step(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    autocast: Callable[[], object],
    foreach: bool | None = None,
) -> Step:
    """A training step of a plain network."""

    def loss() -> Tensor:
        with autocast():
            return F.cross_entropy(network(images).float(), labels)

    return training_step(network, loss, foreach)


def milliseconds(step: Step) -> float:
    """The duration of one call, the device's work included."""
    synchronise()
    began = time.perf_counter()
    step()
    synchronise()
    return 1e3 * (time.perf_counter() - began)


def synchronise() -> None:
    """Wait for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def fastest_plain(
    network: nn.Module, images: Tensor, labels: Tensor, autocast: Callable[[], object], compiled: bool
) -> tuple[str, Step]:
    """The plain step in the setting in which it takes least: memory format, compiled or not."""
    settings: dict[str, Step] = {}
    for memory_format in (torch.contiguous_format, torch.channels_last):
        name = str(memory_format).removeprefix("torch.")
        batch = images.to(memory_format=memory_format)
        own = copy.deepcopy(network).to(memory_format=memory_format)
        settings[name] = plain_step(own, batch, labels, autocast)
        if compiled:
            own = torch.compile(copy.deepcopy(network).to(memory_format=memory_format))
            settings[f"{name}, compiled"] = plain_step(own, batch, labels, autocast)
    times = {}
    for name, step in settings.items():
        step()
        times[name] = statistics.median(milliseconds(step) for _ in range(5))
    best = min(times, key=times.__getitem__)
    return best, settings[best]


class RandomImages(Cifar10):
    """Noise in memory, with the augmentation of CIFAR-10."""

    def load(self, train: bool) -> Images:
        return Images(
            torch.randint(256, (5000, 3, 32, 32), dtype=torch.uint8), torch.arange(5000).remainder(10).tolist()
        )


def waiting_ms(batch_size: int) -> float:
    """The median time until both batches of an iteration are there."""
    data = RandomImages("", batch_size=batch_size)
    data.setup()
    loaders = SearchData(data).train_dataloader().values()
    times = []
    batches = zip(*loaders)
    for _ in range(min(len(loader) for loader in loaders)):
        began = time.perf_counter()
        next(batches)
        times.append(1e3 * (time.perf_counter() - began))
    return statistics.median(times)


def search_of(name: str, samples: int, options: argparse.Namespace, literal: bool = False) -> tuple[Search, nn.Module]:
    """A search of a network, and the unpruned network, both on the device."""
    torch.manual_seed(0)
    network = open_network(name, CLASSES, 3)
    shape = (3, options.image_size, options.image_size)
    plan = read_plan(network, shape, name)
    full = Architecture(name, CLASSES, 3, options.image_size, plan.widths, plan.depths())
    sandwich = options.strategy == "sandwich"
    space = SearchSpace.of(plan, full, Space(residuals="tied" if sandwich else "free"))
    budget = Budget(0.5 * FLOPS.exact(plan, full))
    # Each in its best memory format, as the plain step is: the literal one slices channels.
    layout = torch.contiguous_format if literal else torch.channels_last
    images = torch.randn(options.batch_size, *shape, device=options.device).contiguous(memory_format=layout)
    labels = torch.randint(CLASSES, (options.batch_size,), device=options.device)
    supernet = Supernet(network, space, "interpolate" if literal else options.align)
    supernet = (make_literal(supernet) if literal else supernet).to(options.device, memory_format=layout)
    depths = "mixed" if literal else options.depth_training
    mixture = Strategy(
        strategy="gumbel-mixture",
        warmup=0.0,
        tau_start=10.0,
        arch_optimizer="adam",
        samples=samples,
        depth_training=depths,
    )
    recipe = Recipe(lr=0.01)
    strategy: GumbelMixture | Sandwich = (
        Sandwich(supernet, [budget], recipe, Strategy(), 0)
        if sandwich
        else (LiteralMixtures if literal else GumbelMixture)(supernet, [budget], recipe, mixture, 0)
    )

    def autocast() -> AbstractContextManager:
        low = options.precision == "bf16"
        return torch.autocast(options.device, torch.bfloat16) if low else nullcontext()

    return Search(strategy, images, labels, autocast, options.compute), network.to(options.device)


def measure(name: str, samples: int, options: argparse.Namespace) -> Row:
    """Time one network."""
    ours, network = search_of(name, samples, options)
    images, labels, autocast = ours.images, ours.labels, ours.autocast
    setting, plain = fastest_plain(network, images, labels, autocast, options.compile)
    steps = [plain, ours.iteration]
    if options.literal:
        steps.append(search_of(name, samples, options, literal=True)[0].iteration)
    for _ in range(options.warmup):
        for step in steps:
            step()
    pairs = [[milliseconds(step) for step in steps] for _ in range(options.pairs)]
    ratios = [pair[1] / pair[0] for pair in pairs]
    medians = [statistics.median(column) for column in zip(*pairs)]
    waiting = waiting_ms(options.batch_size)
    own = list(ours.strategy.supernet.parameters())
    bare = copy.deepcopy(network)
    kept = saved_bytes(plain_step(bare, images, labels, autocast), list(bare.parameters()))
    kept_search = max(saved_bytes(step, own) for step in ours.parts())
    bare_step = plain_step(bare, images, labels, autocast)
    bare_step()
    peak_ratio = peak_bytes(ours.iteration, options.device) / peak_bytes(bare_step, options.device)
    return Row(
        network=name,
        batch_size=options.batch_size,
        strategy=options.strategy,
        samples=samples,
        align=options.align,
        depth_training=options.depth_training,
        plain_ms=round(medians[0], 1),
        search_ms=round(medians[1], 1),
        literal_ms=round(medians[2], 1) if options.literal else None,
        ratio=round(statistics.median(ratios), 2),
        ratio_min=round(min(ratios), 2),
        ratio_max=round(max(ratios), 2),
        literal_ratio=round(statistics.median(p[2] / p[0] for p in pairs), 2) if options.literal else None,
        saved_bytes_ratio=round(kept_search / kept, 2),
        peak_memory_ratio=round(peak_ratio, 2),
        data_wait_share=round(waiting / (waiting + medians[1]), 4),
        plain_setting=setting,
        warmup=options.warmup,
    )


def circumstances(options: argparse.Namespace) -> dict[str, object]:
    """Machine, versions and commit."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    device = torch.cuda.get_device_name() if options.device == "cuda" else processor_name()
    return {
        "device": device,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": commit,
        "precision": options.precision,
        "pairs": options.pairs,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", nargs="+", default=["resnet20", "resnet32", "resnet56", "resnet110"])
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--image-size", type=int, default=32, help="height and width, in pixels")
    parser.add_argument("--strategy", default="gumbel-mixture", choices=["gumbel-mixture", "sandwich"])
    parser.add_argument("--samples", type=int, nargs="+", default=[2], help="|I|")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument(
        "--warmup", type=int, default=3, help="pairs before; a CPU compiles each size of a layer when it first meets it"
    )
    parser.add_argument("--align", default="pad", choices=["pad", "interpolate"], help="how candidates are mixed")
    parser.add_argument(
        "--depth-training", default="drawn", choices=["drawn", "mixed"], help="what the weights learn on"
    )
    parser.add_argument("--compute", default="sliced", choices=["sliced", "masked", "captured"])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"])
    parser.add_argument("--precision", default="float32", choices=["float32", "tf32", "bf16"])
    parser.add_argument("--literal", action=argparse.BooleanOptionalAction, default=True, help="time eq. 4 as written")
    parser.add_argument(
        "--compile", action=argparse.BooleanOptionalAction, default=False, help="try a compiled plain step"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a network, nothing else")
    options = parser.parse_args()
    if options.strategy == "sandwich" and options.literal:
        parser.error("--literal is of gumbel-mixture; give --no-literal with --strategy sandwich")
    set_environment()
    keep_freed_memory()
    torch.set_float32_matmul_precision("high" if options.precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = options.precision == "tf32"
    if not options.json:
        print(json.dumps(circumstances(options)))
    for name in options.network:
        for samples in options.samples:
            row = asdict(measure(name, samples, options))
            if options.json:
                row |= circumstances(options)
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
