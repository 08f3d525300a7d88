"""What TensorBoard shows of a search beside its scalars, and the same as CSV."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger
from torch.utils.tensorboard import SummaryWriter

from tas.cost.measures import FLOPS, Measure
from tas.cost.tables import Probabilities
from tas.data.images import SearchData
from tas.runs.results import Standing
from tas.runs.run import Run
from tas.search.module import SearchModule
from tas.search.pictures import LETTER, draw_elasticities
from tas.space.space import SearchSpace
from tas.training.curves import GrowingCsv

if TYPE_CHECKING:
    from matplotlib.figure import Figure


LOOKED_BY = 256
"""Held-out images, about, by which a strategy that measures scores brings its distributions up to date."""


PICTURES = 0.02
"""The part of a search that its pictures may take."""


class PictureTime:
    """The time that pictures take, so that they stay a small part of a run: a short one has them at its end alone."""

    def __init__(self) -> None:
        self.begun = time.perf_counter()
        self.spent = 0.0
        self.latest = 0.5
        """Seconds of the last one; of the first, with what has to be imported for it, about."""

    def left(self) -> bool:
        """Whether there is time for one more, and for that at the end."""
        return self.spent + 2 * self.latest <= PICTURES * (time.perf_counter() - self.begun)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Drawing, inside."""
        begun = time.perf_counter()
        yield
        self.latest = time.perf_counter() - begun
        self.spent += self.latest


class Distributions(pl.Callback):
    """Keeps all width and depth distributions ten to twenty times in a search, and at its end, in distributions.csv.

    Those of a strategy that has to measure them, half as often: asking takes its time. TensorBoard gets a picture of
    them as often as pictures take no more than their part of the run's time, and at the end.

    Args:
        measures: The costs that have a budget.
    """

    def __init__(self, measures: Sequence[Measure] = (FLOPS,)) -> None:
        self.measures = measures
        self.last = 0
        """The epoch, counted from 1, of the last rows of distributions.csv."""
        self.pictures = PictureTime()

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.last}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.last = state_dict["epoch"]

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        curves = ("expected_ratio", "derived_ratio", "band_low", "band_high")
        bands = {
            f"{one.words} ratio and target band": ["Multiline", [f"{one.name}/{curve}" for curve in curves]]
            for one in self.measures
        }
        assert isinstance(module, SearchModule)
        turns = {key: ["Multiline", [f"weights/{key}", f"architecture/{key}"]] for key in ("loss", "accuracy")}
        if module.strategy.measures_scores:
            turns = {"loss": ["Multiline", ["weights/loss", "weights/random", "weights/smallest"]]}
        self.pictures = PictureTime()
        if trainer.is_global_zero:
            writer(trainer).add_custom_scalars({"search": {**bands, **turns}})
            distributions_file(trainer).cut(self.last)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, SearchModule) and trainer.max_epochs is not None
        epoch, epochs = trainer.current_epoch + 1, trainer.max_epochs
        times = 5 if module.strategy.measures_scores else 10
        shown, last = epoch % max(1, epochs // times) == 0, epoch == epochs
        # Scores are measured, by more networks and images, once the last epoch is over.
        if not (shown or last) or (last and module.strategy.measures_scores):
            return
        self.last = epoch
        images = cast(SearchData | None, trainer.datamodule)  # type: ignore[attr-defined]  # it has
        standing = None
        if images is not None:
            standing = module.strategy.look(lambda: images.probing_batches(LOOKED_BY), module.device)
        if trainer.is_global_zero:
            # Counted in iterations, as Lightning counts for the scalars; global_step counts both optimisers' steps.
            step = epoch * int(trainer.num_training_batches)
            self.add(trainer, module, epoch, step, standing)
            if standing is not None:
                for name in ("r_squared", "tau"):
                    writer(trainer).add_scalar(f"scores/{name}", getattr(standing, name), step)

    def conclude(self, trainer: pl.Trainer, module: SearchModule, standing: Standing | None) -> None:
        """Keep the distributions of measured scores too, which are there once the last epoch is over."""
        assert trainer.max_epochs is not None
        if standing is not None and trainer.is_global_zero:
            distributions_file(trainer).cut(min(self.last, trainer.max_epochs - 1))
            self.add(trainer, module, trainer.max_epochs, trainer.global_step, standing)

    def add(self, trainer: pl.Trainer, module: SearchModule, epoch: int, step: int, standing: Standing | None) -> None:
        """Rows of the distributions, and if there is time pictures of them, and of elasticities."""
        space, (widths, depths) = module.supernet.space, module.strategy.probabilities()
        distributions_file(trainer).add(distribution_rows(epoch, space, widths, depths))
        if epoch < (trainer.max_epochs or 0) and not self.pictures.left():
            return
        with self.pictures.counted():
            figures = {"distributions": distribution_figure(space, widths, depths)}
            if standing is not None:
                figures["elasticities"] = draw_elasticities(standing.elasticities)
            for name, figure in figures.items():
                writer(trainer).add_figure(name, figure, step, close=False)


def writer(trainer: pl.Trainer) -> SummaryWriter:
    """The writer of TensorBoard's event files."""
    assert isinstance(trainer.logger, TensorBoardLogger)
    return trainer.logger.experiment


def distributions_file(trainer: pl.Trainer) -> GrowingCsv:
    """The run's distributions.csv, beside TensorBoard's event files."""
    return GrowingCsv(Run(writer(trainer).log_dir).distributions, ("epoch", "kind", "name", "candidate", "probability"))


def distribution_rows(
    epoch: int, space: SearchSpace, widths: Probabilities, depths: Probabilities
) -> list[dict[str, Any]]:
    """What a search has learned after an epoch: a row each candidate of each width and depth."""
    return [
        {"epoch": epoch, "kind": kind, "name": name, "candidate": candidate, "probability": probability}
        for kind, candidates, learned in (("width", space.widths, widths), ("depth", space.depths, depths))
        for name, probabilities in learned.items()
        for candidate, probability in zip(candidates[name], probabilities.tolist(), strict=True)
    ]


def distribution_figure(space: SearchSpace, widths: Probabilities, depths: Probabilities) -> "Figure":
    """A picture of what a search has learned: a row a width or depth, a cell for each candidate's probability."""
    from matplotlib.figure import Figure

    kinds = [("width, narrowest", space.widths, widths), ("depth, shallowest", space.depths, depths)]
    kinds = [kind for kind in kinds if kind[1]]
    wide, high = 7, 1.5 + 0.17 * (len(widths) + len(depths))
    figure = Figure(figsize=(wide, high))
    parts = figure.subplots(len(kinds), 1, height_ratios=[len(learned) for _, _, learned in kinds], squeeze=False)
    # A layout that looks at what it has drawn takes as long again.
    left = (0.2 + LETTER * max(len(name) for _, _, learned in kinds for name in learned)) / wide
    figure.subplots_adjust(left, 0.3 / high, 1, 1 - 0.3 / high, hspace=0.6 * len(kinds) ** 2 / high)
    for axes, (kind, candidates, learned) in zip(parts[:, 0], kinds):
        columns = max(len(values) for values in candidates.values())
        cells = [learned[name].tolist() + [math.nan] * (columns - len(learned[name])) for name in learned]
        picture = axes.imshow(cells, aspect="auto", vmin=0, cmap="viridis")
        axes.set_yticks(range(len(learned)), list(learned), fontsize=6)
        axes.set_xticks(range(columns))
        axes.set_title(f"probability of each {kind} candidate first", fontsize=8)
        figure.colorbar(picture, ax=axes)
    return figure
