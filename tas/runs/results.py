"""What each command measured: a frozen record for each, written to a run's metrics.json and read from it here alone."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Self

from lightning_fabric.utilities.rank_zero import rank_zero_only

from tas.errors import TasError, gist
from tas.inputs.json_text import read_json
from tas.inputs.schema import made_of_json
from tas.runs.files import write_text
from tas.runs.run import Run

APART = 0.3
"""How much better a network may be on training than on test images before it is remarked on."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """What any run measures."""

    command: ClassVar[str]
    """What is measured by."""

    @rank_zero_only
    def write(self, run: Run) -> None:
        """Write it; with that the run is finished."""
        write_text(run.metrics, json.dumps(self.flat(), indent=2) + "\n")

    def flat(self) -> dict[str, Any]:
        """What metrics.json has."""
        return {"command": self.command} | asdict(self)

    @classmethod
    def read(cls, run: Run) -> Self:
        """The record of a finished run. TasError unless it is one of this command."""
        record = read_record(run)
        if not isinstance(record, cls):
            raise TasError(f"{run.path}: not a finished run of tas {cls.command}, but of tas {record.command}")
        return record


@dataclass(frozen=True, kw_only=True)
class Result(Record):
    """What the commands measure of a network."""

    command = "search, tas prune or tas train"
    flops: int
    """Multiply-adds of the network for one image."""
    flops_full: int
    """Those of the unpruned network."""
    flops_ratio: float
    """The first as a share of the second."""
    params: int
    """Parameters of the network."""
    params_full: int
    params_ratio: float
    seconds: float
    """The time that the run took, interruptions left out."""
    seed: int
    flops_nonzero: int | None = None
    """Where single weights are zero, and stay so: the multiply-adds with the others."""
    flops_nonzero_ratio: float | None = None
    """As a share of the unpruned network's multiply-adds."""

    @property
    def counted_ratio(self) -> float:
        """The share of the FLOPs that counts: without those of zero weights, where there are such."""
        return self.flops_ratio if self.flops_nonzero_ratio is None else self.flops_nonzero_ratio


@dataclass(frozen=True, kw_only=True)
class TimedLatency:
    """What a found network takes, measured by turns with the unpruned one."""

    measured_on: str
    """Runtime, device and batch, in words."""
    seconds: float
    """For a batch, the median."""
    seconds_full: float
    """Of the unpruned network."""
    ratio: float
    """The first as a share of the second: the median over the rounds."""
    ratio_low: float
    """First quartile."""
    ratio_high: float
    """Third quartile."""
    rounds: int


@dataclass(frozen=True, kw_only=True)
class FoundResult(Result):
    """What the commands measure that find a network."""

    command = "search or tas prune"
    flops_target: float | None
    """The share of the FLOPs that was aimed at; None: no target was set for them."""
    params_target: float | None
    target_met: bool
    """Whether the network is inside every budget."""
    reachable: tuple[float, ...] | None
    """Where a single one is not met: the shares next to its target that can be reached."""
    latency: TimedLatency | None = None
    """Where a latency is aimed at."""
    latency_target: float | None = None
    """The share of the unpruned network's that is aimed at; of a time, what it is of what that was measured to take."""
    latency_errors: tuple[float, float] | None = None
    """How far the latencies are off that the choice was made by: the median and the largest relative error, of random
    networks measured whole."""
    memory: int | None = None
    """Where a peak memory is aimed at: the most bytes of feature maps that are alive at once for an image, counted."""
    memory_full: int | None = None
    """Of the unpruned network."""
    memory_ratio: float | None = None
    memory_target: float | None = None
    """The share of the unpruned network's that is aimed at, at most."""


@dataclass(frozen=True, kw_only=True)
class Likeliest:
    """What the distributions of a search alone would choose, whatever it costs: how far the budget moved the choice."""

    flops_ratio: float
    widths: Mapping[str, int]
    depths: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What measured scores say of a network that was found; losses are cross-entropies of held-out images."""

    probes: int
    """Networks that were asked."""
    r_squared: float
    """Share of the variance of the losses of networks that the scores explain which were not in the fit."""
    tau: float
    """Kendall's rank correlation of these losses with the predicted ones."""
    predicted_gain: Mapping[str, Sequence[float]]
    """Control at the same cost -> how much lower the loss of the best network by scores is predicted, its error. Empty
    where no network meets the budget."""
    control: str | None
    """The control that is handed over, since that network is not ahead of it by more than the standard error."""
    elasticities: Mapping[str, Sequence[float]]
    """Width, or step of depth -> loss saved by e times as many channels or blocks, standard error."""


@dataclass(frozen=True, kw_only=True)
class SearchResult(FoundResult):
    """Of `tas search`."""

    command = "search"
    val_accuracy: float
    """On training images that the weights have not seen, of the found network with the supernet's, from 0 to 1."""
    confidence: float
    """The mean over all choices of the highest probability less the next."""
    likeliest: Likeliest
    converged: bool = True
    """Whether what was learned has settled."""
    unsettled: Sequence[str] = field(default_factory=list)
    """Where not, why."""
    strategy: str = "gumbel-mixture"
    derived_from: str | None = None
    """The search, where `tas derive` asked an earlier one anew."""
    standing: Standing | None = None
    """None where the strategy measures no scores. In metrics.json its values stand beside the others."""

    def flat(self) -> dict[str, Any]:
        """What metrics.json has."""
        values = super().flat()
        return values | (values.pop("standing") or {})


@dataclass(frozen=True, kw_only=True)
class PruneResult(FoundResult):
    """Of `tas prune`."""

    command = "prune"
    method: str
    sparsity_weight: float | None
    """Weight of the L1 penalty under which the method trained, if it did."""


@dataclass(frozen=True, kw_only=True)
class TrainResult(Result):
    """Of `tas train`."""

    command = "train"
    test_accuracy: float
    """On all test images, after the last epoch, from 0 to 1."""
    teacher_accuracy: float | None
    """Of the teachers together, likewise; None without any."""
    kd: bool
    epochs: int
    train_accuracy: float | None = None
    """On the training images of the last epoch, augmented, before each step; None where a run went on after it."""
    constant_accuracy: float | None = None
    """Of the commonest class as the answer to every test image."""

    def doubts(self) -> list[str]:
        """What speaks against trusting the network, in sentences; none where all looks as it should."""
        found = []
        for whose, accuracy in (("its", self.test_accuracy), ("its teachers'", self.teacher_accuracy)):
            if accuracy is not None and self.constant_accuracy is not None and accuracy <= self.constant_accuracy:
                found.append(
                    f"{whose} test accuracy, {accuracy:.2%}, is no better than one class for every image gives"
                )
        if self.train_accuracy is not None and self.train_accuracy - self.test_accuracy > APART:
            found.append(
                f"its accuracy is {self.train_accuracy:.2%} on training and {self.test_accuracy:.2%} on test images, "
                "worlds apart: too few training images, or test images of another kind"
            )
        return found


@dataclass(frozen=True, kw_only=True)
class AloneResult(Record):
    """Of a comparison's random networks, trained alone."""

    command = "compare (random networks alone)"
    networks: int


@dataclass(frozen=True, kw_only=True)
class RankingResult(Record):
    """Of a comparison's ranking of networks by a search's supernet."""

    command = "compare (ranking)"
    kendall_tau: float | None
    """1 for the order in which training alone ranks the networks, 0 for none; None where all were judged equal."""
    kendall_p_value: float | None
    """Probability of one as strong without any correlation."""
    ranked: int
    """How many random networks there were."""
    ranked_accuracy_mean: float
    ranked_accuracy_best: float
    """Of these, trained alone."""
    found_accuracy: float
    """Of the network that the search found, trained alike."""
    found_beats: int
    """How many of the random ones it is better than."""
    scores_tau: float | None = None
    """As `kendall_tau`, of the scores by which the search chooses in the place of the supernet's loss."""


@dataclass(frozen=True, kw_only=True)
class CompareResult(Record):
    """Of `tas compare`: what its report says, for programmes."""

    command = "compare"
    runs: int
    machine: Mapping[str, Any]
    differences: Sequence[Mapping[str, Any]]
    rank_correlation: Sequence[Mapping[str, Any]]
    rank_correlation_pooled: Sequence[Mapping[str, Any]]
    agreement: Sequence[Mapping[str, Any]]


KINDS: dict[str, type[Record]] = {
    kind.command: kind for kind in (SearchResult, PruneResult, TrainResult, AloneResult, RankingResult, CompareResult)
}


def read_record(run: Run) -> Record:
    """The record of a finished run, of whichever command. TasError, naming the file, if it holds none."""
    try:
        values = read_json(run.metrics)
        command = values.pop("command", None) if isinstance(values, dict) else None
        kind = KINDS.get(command) if isinstance(command, str) else None
        if kind is None:
            raise ValueError("no command's")
        if kind is SearchResult:
            own = {key: values.pop(key) for key in Standing.__dataclass_fields__ if key in values}
            values["standing"] = own or None
        return made_of_json(kind, values)
    except TasError:
        raise
    except ValueError as error:
        raise TasError(f"{run.metrics}: not the result of a run of this version of tas ({gist(error)})") from None
