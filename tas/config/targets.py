"""The options that say what a found network may cost, and on what its latency is measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tas.config.amount import Amount
from tas.config.checks import at_least, distinct, inside
from tas.errors import TasError


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """Budget."""

    tolerance: float = 0.05
    """How far the found network may be from the target, as a share of the target."""

    def __post_init__(self) -> None:
        inside("tolerance", self.tolerance, 0.001 <= self.tolerance < 1, "from 0.001 to below 1")


@dataclass(frozen=True, kw_only=True)
class Target(Tolerance):
    """Budget."""

    flops_target: float | str | None = None
    """FLOPs to keep: a share of the unpruned network's, above 0, at most 1, or a count of multiply-adds with k, M or G,
    such as 40M. None is 0.5, unless another target is given."""
    params_target: float | str | None = None
    """Parameters to keep, likewise; beside --flops-target or instead of it."""
    latency_target: float | str | None = None
    """Latency to keep, measured on this machine (--latency-device, ...): a share of the unpruned network's, or a time
    such as 3.5ms, 800us or 0.1s; beside the others or instead of them."""
    memory_target: float | str | None = None
    """Peak of live feature maps to stay under for one image, as tas profile counts it: a share of the unpruned
    network's, or bytes such as 500kB or 1.5MB; at most that, with --tolerance above it, and no least; beside the others
    or instead of them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.amounts()

    def amounts(self) -> dict[str, Amount]:
        """Measure -> what to keep of it, of those that have a target. TasError, naming the flag, where that is none."""
        read = {name: Amount.read(f"{name}_target", one) for name, one in self.given().items() if one is not None}
        return read or {"flops": Amount(0.5)}

    def given(self) -> dict[str, float | str | None]:
        """Measure -> its option."""
        return {
            "flops": self.flops_target,
            "params": self.params_target,
            "latency": self.latency_target,
            "memory": self.memory_target,
        }


@dataclass(frozen=True, kw_only=True)
class Targets(Tolerance):
    """Budgets."""

    tolerance: float = 0.02
    """How far a found network may be from its target, as a share of the target."""
    flops_targets: tuple[float | str, ...] | None = None
    """FLOPs to keep: shares of the unpruned network's, above 0, at most 1, or counts of multiply-adds with k, M or G,
    e.g. --flops-targets [0.5,40M]. None is 0.5, unless another target is given."""
    params_targets: tuple[float | str, ...] = ()
    """Parameters to keep, likewise: networks are found for each of these targets alone, too."""
    latency_targets: tuple[float | str, ...] = ()
    """Latencies to keep, likewise, measured on this machine (--latency-device, ...): shares or times, such as
    [0.6,3.5ms]."""
    memory_targets: tuple[float | str, ...] = ()
    """Peaks of live feature maps to stay under, likewise: shares or bytes, such as [0.5,500kB]."""
    together: bool = False
    """Networks keep the first targets of all lists at once, then the second ones, and so on, instead of each target
    alone; the lists are as long as one another."""

    def __post_init__(self) -> None:
        super().__post_init__()
        amounts = self.amounts()
        allowed = "one target or more, of FLOPs or of parameters, latency or memory"
        inside("flops_targets", "empty", bool(amounts), allowed)
        if self.together:
            self.check_together(amounts)
            return
        for name, many in amounts.items():
            # As folders are named for them: 0.50000001 and 0.5 would share one, and so would 40M and 40000k.
            distinct(f"{name}_targets", list(map(str, many)), may_be_empty=True)

    def check_together(self, amounts: Mapping[str, Sequence[Amount]]) -> None:
        """TasError unless there are several lists, as long as one another, of which no place says what another does."""
        lists = " and ".join(f"--{name}-targets with {len(many)}" for name, many in amounts.items())
        if len(amounts) < 2 or len({len(many) for many in amounts.values()}) > 1:
            raise TasError(f"--together is given, and {lists}; allowed: two lists or more, as long as one another")
        distinct("together", [" and ".join(map(str, aim.values())) for aim in self.aims()])

    def aims(self) -> list[dict[str, Amount]]:
        """What networks are found for: measure -> what to keep of it, of all that they keep at once."""
        amounts = self.amounts()
        if self.together:
            return [dict(zip(amounts, one, strict=True)) for one in zip(*amounts.values(), strict=True)]
        return [{name: one} for name, many in amounts.items() for one in many]

    def amounts(self) -> dict[str, list[Amount]]:
        """Measure -> its targets, of those that have some. TasError, naming the flag, where one is none."""
        others = {"params": self.params_targets, "latency": self.latency_targets, "memory": self.memory_targets}
        flops = (() if any(others.values()) else (0.5,)) if self.flops_targets is None else self.flops_targets
        given = {"flops": flops, **others}
        return {name: [Amount.read(f"{name}_targets", one) for one in many] for name, many in given.items() if many}


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Latency: on what --latency-target is measured."""

    latency_device: Literal["cpu", "cuda"] = "cpu"
    """cpu or cuda."""
    latency_runtime: Literal["eager", "onnxruntime"] = "eager"
    """eager: PyTorch, operation by operation; or onnxruntime, on the CPU (pip install "tas[export]")."""
    latency_batch: int = 1
    """Images that are judged at once."""
    latency_threads: int | None = None
    """Threads of the CPU; none takes as many as torch does of itself."""

    def __post_init__(self) -> None:
        inside("latency_device", self.latency_device, self.latency_device in ("cpu", "cuda"), "cpu or cuda")
        runtimes = ("eager", "onnxruntime")
        inside("latency_runtime", self.latency_runtime, self.latency_runtime in runtimes, "eager or onnxruntime")
        at_least(1, latency_batch=self.latency_batch)
        if self.latency_threads is not None:
            at_least(1, latency_threads=self.latency_threads)
        if self.latency_runtime == "onnxruntime" and self.latency_device != "cpu":
            raise TasError("--latency-runtime onnxruntime is timed on the CPU alone; give --latency-device cpu")
