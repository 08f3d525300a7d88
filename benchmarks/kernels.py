"""Count what a search iteration launches, waits for and keeps, against a plain training step of the unpruned network.

    python benchmarks/kernels.py --network resnet20 resnet56 mobilenetv2
    python benchmarks/kernels.py --network resnet20 --strategy gumbel-mixture --align pad --operations

A GPU that trains a small network waits for the host: the number of kernels tells how long, whatever the machine. They
are counted on the CPU, where no GPU is needed: every operation that is dispatched is a kernel, but views and what only
allocates. Optimisers update all tensors of a kind in one operation, as they do on a GPU (foreach). Operations on what
the host has drawn itself, by its own generator, are the host's; its way to the device is a kernel again.

A host read is an operation after which the host must wait until the device has come so far: .item(), .tolist(),
float(), .cpu(), nonzero, and indexing by a mask. The iteration is one of those between two that are logged.
"""

import argparse
import copy
import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from memory import saved_bytes
from search_step import Search, circumstances, plain_step, search_of
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

FREE = {
    *("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "lift_fresh", "set_", "resize_"),
    *("_unsafe_view", "squeeze_", "unsqueeze_", "as_strided_", "t_", "transpose_"),
    *("_record_function_enter_new", "_record_function_exit"),
}
"""Operations that launch nothing, beside views."""

READ = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "_unique2", "unique_dim"}
"""Operations whose result, or its shape, the host has to wait for."""

FACTORIES = {"zeros", "ones", "full", "tensor", "arange", "eye", "rand", "randn", "randint", "randperm"}
"""What makes tensors of the host, where no device is named."""

READS = {"tolist", "cpu", "numpy", "__bool__", "__int__", "__float__", "__index__", "item", "__array__"}
"""Methods of tensors that are reads, some of which are not dispatched on a CPU."""


class OfTheHost:
    """Which tensors the host has made by itself; the device's are all others."""

    def __init__(self) -> None:
        self.known = WeakIdKeyDictionary()

    def __contains__(self, tensor: Tensor) -> bool:
        return tensor in self.known

    def add(self, made: Any) -> None:
        """All tensors of a result."""
        for leaf in tensors_of(made):
            self.known[leaf] = True

    def only(self, tensors: Iterable[Tensor]) -> bool:
        """Whether there are tensors, and all are of the host."""
        found = [tensor in self.known for tensor in tensors]
        return bool(found) and all(found)


class Dispatched(TorchDispatchMode):
    """Counts the kernels and the reads of what runs inside."""

    def __init__(self, host: OfTheHost) -> None:
        super().__init__()
        self.host = host
        self.on_the_host = False
        """Whether what runs just now is the host's, whatever it is given."""
        self.kernels: Counter[str] = Counter()
        self.reads: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = tensors_of((args, kwargs))
        made = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        drawn = isinstance((kwargs or {}).get("generator"), torch.Generator)
        if self.on_the_host or drawn or name == "lift_fresh" or self.host.only(given):
            self.host.add(made)
        elif name in READ:
            self.reads[name] += 1
        elif not (func.is_view or name in FREE):
            self.kernels[name] += 1
        return made


class Called(TorchFunctionMode):
    """Tells `Dispatched` of reads and ways to the device that are not dispatched on a CPU."""

    def __init__(self, dispatched: Dispatched) -> None:
        super().__init__()
        self.dispatched = dispatched

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name, first, host = getattr(func, "__name__", ""), args[0] if args else None, self.dispatched.host
        before = self.dispatched.on_the_host
        self.dispatched.on_the_host = before or (name in FACTORIES and "device" not in (kwargs or {}))
        made = func(*args, **(kwargs or {}))
        self.dispatched.on_the_host = before
        if name in READS and isinstance(first, Tensor) and first not in host:
            # Those that are dispatched are counted there.
            if name in ("tolist", "cpu", "numpy", "__array__"):
                self.dispatched.reads[name] += 1
            host.add(made)
        elif name == "to" and isinstance(first, Tensor) and first in host:
            self.dispatched.kernels["to the device"] += 1
            return made.view_as(made)
        return made


def tensors_of(tree: Any) -> list[Tensor]:
    """The tensors in a tree of arguments or results."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def counted(step: Callable[[], object], of_the_host: Iterable[Tensor] = ()) -> Dispatched:
    """What one call launches and reads; `of_the_host` are what it finds there."""
    dispatched = Dispatched(OfTheHost())
    for tensor in of_the_host:
        dispatched.host.add(tensor)
    with dispatched, Called(dispatched):
        step()
    return dispatched


@dataclass(frozen=True)
class Row:
    """What is counted of one network."""

    network: str
    strategy: str
    align: str
    compute: str
    depth_training: str
    kernels: int
    """Of an iteration, the mean of several."""
    plain_kernels: int
    ratio: float
    host_reads: float
    """In an iteration."""
    saved_bytes_ratio: float
    """What an iteration keeps at most for one of its backward passes / what a plain step keeps."""


def in_one_operation(search: Search) -> None:
    """Let the optimisers update all their tensors in one operation, as they do on a GPU."""
    for optimizer in search.optimizers:
        for group in optimizer.param_groups:
            group["foreach"] = True


def count(name: str, options: argparse.Namespace) -> tuple[Row, list[Dispatched]]:
    """Count one network's iterations and plain step."""
    search, network = search_of(name, 2, options)
    in_one_operation(search)
    plain = plain_step(copy.deepcopy(network), search.images, search.labels, search.autocast, foreach=True)
    for step in (plain, search.iteration):
        step()  # what is made once, and the optimisers' state
    counts = [state["step"] for own in search.optimizers for state in own.state.values() if "step" in state]
    iterations = [counted(search.iteration, counts) for _ in range(options.iterations)]
    launched = counted(plain).kernels.total()
    kernels = sum(one.kernels.total() for one in iterations) / len(iterations)
    bare = copy.deepcopy(network)
    kept = saved_bytes(plain_step(bare, search.images, search.labels, search.autocast), list(bare.parameters()))
    own = list(search.strategy.supernet.parameters())
    kept_search = max(saved_bytes(step, own) for step in search.parts())
    row = Row(
        network=name,
        strategy=options.strategy,
        align=options.align,
        compute=options.compute,
        depth_training=options.depth_training,
        kernels=round(kernels),
        plain_kernels=launched,
        ratio=round(kernels / launched, 2),
        host_reads=round(sum(one.reads.total() for one in iterations) / len(iterations), 2),
        saved_bytes_ratio=round(kept_search / kept, 2),
    )
    return row, iterations


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", nargs="+", default=["resnet20", "resnet56", "mobilenetv2"])
    parser.add_argument("--strategy", nargs="+", default=["sandwich", "gumbel-mixture"])
    parser.add_argument("--align", nargs="+", default=["pad", "interpolate"], help="of gumbel-mixture")
    parser.add_argument("--depth-training", default="drawn", choices=["drawn", "mixed"])
    parser.add_argument("--compute", nargs="+", default=["sliced"])
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=12, help="it changes no count")
    parser.add_argument("--iterations", type=int, default=4)
    parser.add_argument("--operations", action="store_true", help="tell which operations the last iteration had")
    parser.add_argument("--json", action="store_true", help="one JSON object a row, nothing else")
    options = parser.parse_args()
    options.device, options.precision, options.pairs = "cpu", "float32", None
    if not options.json:
        print(json.dumps(circumstances(options)))
    for name in options.network:
        for strategy in options.strategy:
            for align in options.align if strategy == "gumbel-mixture" else ["pad"]:
                for compute in options.compute:
                    given = vars(options) | {"strategy": strategy, "align": align, "compute": compute}
                    row, iterations = count(name, argparse.Namespace(**given))
                    own = {"commit": circumstances(options)["commit"]} if options.json else {}
                    print(json.dumps(asdict(row) | own), flush=True)
                    if options.operations:
                        print(json.dumps(dict(iterations[-1].kernels.most_common())))
                        print(json.dumps(dict(iterations[-1].reads.most_common())))


if __name__ == "__main__":
    main()
