"""What TensorBoard shows of a search beside its scalars."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger
from torch.utils.tensorboard import SummaryWriter

from tas.cost.measures import MEASURES
from tas.cost.tables import Probabilities
from tas.search.module import SearchModule
from tas.space.space import SearchSpace

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Distributions(pl.Callback):
    """Puts a picture of all width and depth distributions into TensorBoard, ten times in a search.

    Args:
        measures: The costs that have a budget.
    """

    def __init__(self, measures: Sequence[str] = ("flops",)) -> None:
        self.measures = measures

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        curves = ("expected_ratio", "derived_ratio", "band_low", "band_high")
        bands = {
            f"{MEASURES[name].words} ratio and target band": ["Multiline", [f"{name}/{curve}" for curve in curves]]
            for name in self.measures
        }
        turns = {key: ["Multiline", [f"weights/{key}", f"architecture/{key}"]] for key in ("loss", "accuracy")}
        if trainer.is_global_zero:
            writer(trainer).add_custom_scalars({"search": {**bands, **turns}})

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, SearchModule) and trainer.max_epochs is not None
        every = max(1, trainer.max_epochs // 10)
        if trainer.is_global_zero and (trainer.current_epoch + 1) % every == 0:
            figure = distribution_figure(module.supernet.space, *module.strategy.probabilities())
            # Counted in iterations, as Lightning counts for the scalars; global_step counts both optimisers' steps.
            step = (trainer.current_epoch + 1) * int(trainer.num_training_batches)
            writer(trainer).add_figure("distributions", figure, step, close=False)


def writer(trainer: pl.Trainer) -> SummaryWriter:
    """The writer of TensorBoard's event files."""
    assert isinstance(trainer.logger, TensorBoardLogger)
    return trainer.logger.experiment


def distribution_figure(space: SearchSpace, widths: Probabilities, depths: Probabilities) -> "Figure":
    """A picture of what a search has learned: a row a width or depth, a cell for each candidate's probability."""
    from matplotlib.figure import Figure

    kinds = [("width, narrowest", space.widths, widths), ("depth, shallowest", space.depths, depths)]
    kinds = [kind for kind in kinds if kind[1]]
    figure = Figure(figsize=(7, 1.5 + 0.17 * (len(widths) + len(depths))), layout="constrained")
    parts = figure.subplots(len(kinds), 1, height_ratios=[len(learned) for _, _, learned in kinds], squeeze=False)
    for axes, (kind, candidates, learned) in zip(parts[:, 0], kinds):
        columns = max(len(values) for values in candidates.values())
        cells = [learned[name].tolist() + [math.nan] * (columns - len(learned[name])) for name in learned]
        picture = axes.imshow(cells, aspect="auto", vmin=0, cmap="viridis")
        axes.set_yticks(range(len(learned)), list(learned), fontsize=6)
        axes.set_xticks(range(columns))
        axes.set_title(f"probability of each {kind} candidate first", fontsize=8)
        figure.colorbar(picture, ax=axes)
    return figure
