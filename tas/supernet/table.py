"""The draws of all widths and depths as rows of one table, made where the logits are, without a look at them."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tas.supernet.choice import Choice


class DrawTable:
    """A row of weights for each choice, 0 for a candidate that is not drawn.

    The same candidates are drawn, with the same weights, as `gumbel_weights` and `sample_candidates` draw: the noise
    comes from the same generator, on the CPU, in the same order.

    Args:
        widths: Each gets a row, in this order.
        depths: Theirs follow.
    """

    def __init__(self, widths: Sequence[Choice], depths: Sequence[Choice]) -> None:
        self.widths, self.depths = tuple(widths), tuple(depths)
        self.choices = (*widths, *depths)
        self.counts = [len(choice.candidates) for choice in self.choices]
        self.most = max(self.counts, default=1)
        self.kept: dict[object, Tensor] = {}
        """What does not change, on the device."""
        self.rows: Tensor | None = None
        self.made_of: object = None
        """Of which state of the logits the rows were made."""

    def __getstate__(self) -> dict[str, Any]:
        """Without what is made when it is needed."""
        return {**vars(self), "kept": {}, "rows": None}

    def forget(self) -> None:
        """The rows of the logits are to be made anew."""
        self.rows = None

    def sample(self, tau: float | Tensor, samples: int, noise: Tensor) -> tuple[Tensor, ...]:
        """(widths, most candidates), and of each depth (candidates,).

        Args:
            tau: As for `Supernet.sample`, or as a number on the device.
            samples: As for `Supernet.sample`.
            noise: As `noise` gives it, on the device.
        """
        self.rows = self.rows_now()
        device = self.rows.device
        drawn = [min(samples, count) for count in self.counts[: len(self.widths)]]
        drawn += [1] * len(self.depths)  # of mixed depths all are as high as the highest
        if (samples, device) not in self.kept:
            self.kept[samples, device] = torch.tensor(drawn)[:, None].sub_(1).to(device)
        how = (len(self.widths), self.counts, samples, tau)
        made: tuple[Tensor, ...] = Draw.apply(how, self.kept[samples, device], noise, self.rows)
        return made

    def probabilities(self) -> Tensor:
        """softmax of the logits of every choice: (choices, most candidates), 0 beyond a row's candidates."""
        logits = [choice.logits for choice in self.choices]
        now = [one._version for one in logits], any(one.requires_grad for one in logits)
        if self.rows is None or self.made_of != now:
            self.rows = self.rows_now()
        return self.rows.softmax(1)

    def rows_now(self) -> Tensor:
        """The logits: (choices, most candidates), minus infinity beyond a row's candidates."""
        logits = [choice.logits for choice in self.choices]
        self.made_of = [one._version for one in logits], any(one.requires_grad for one in logits)
        device = logits[0].device
        if ("places", device) not in self.kept:
            self.kept["places", device] = self.places().to(device)
            self.kept["nothing", device] = torch.full((1,), -float("inf")).to(logits[0])
        kept = (self.kept["places", device], self.kept["nothing", device])
        rows: Tensor = LogitRows.apply(*kept, self.counts, *logits)
        return rows

    def rows_of(self, networks: Sequence[Sequence[int]]) -> Tensor:
        """Of one candidate of each choice alone: (networks, choices, most candidates), on the CPU.

        Args:
            networks: For each the number of every width, then of every depth.
        """
        rows = torch.zeros(len(networks), len(self.choices), self.most, dtype=self.choices[0].logits.dtype)
        for own, numbers in zip(rows, networks):
            places = [choice.candidates.index(number) for choice, number in zip(self.choices, numbers, strict=True)]
            own[range(len(places)), places] = 1.0
        return rows

    def parts(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Rows, (..., choices, most candidates), as `sample` gives them."""
        count = len(self.widths)
        lengths = enumerate(self.counts[count:], count)
        return rows[..., :count, :], *(rows[..., row, :length] for row, length in lengths)

    def places(self) -> Tensor:
        """(choices, most candidates): of each candidate, its place among the logits of all; after its row's, their
        number."""
        rows, before = torch.full((len(self.choices), self.most), sum(self.counts)), 0
        for row, count in zip(rows, self.counts):
            row[:count] = torch.arange(before, before + count)
            before += count
        return rows

    def noise(self, generator: torch.Generator, mix_depths: bool) -> Tensor:
        """Gumbel noise, and what is added to log weights so that the highest are a draw: (2, choices, most), on the
        CPU."""
        dtype = self.choices[0].logits.dtype
        noise = torch.zeros(2, len(self.choices), self.most, dtype=dtype)
        gumbel, order = noise
        order.fill_(-float("inf"))
        for depths, start, stop in ((False, 0, len(self.widths)), (True, len(self.widths), len(self.choices))):
            groups: dict[int, list[int]] = defaultdict(list)
            for row in range(start, stop):
                groups[self.counts[row]].append(row)
            for count, rows in groups.items():
                exponential = torch.empty(len(rows), count, dtype=dtype).exponential_(generator=generator)
                gumbel[rows, :count] = -exponential.log()
                if depths:
                    order[rows, :count] = float("inf") if mix_depths else 0.0
                else:  # as `torch.multinomial` draws without replacement: the highest weights / exponential variables
                    exponential = torch.empty(len(rows), count, dtype=torch.float64).exponential_(generator=generator)
                    order[rows, :count] = -exponential.log().to(dtype)
        return noise


class LogitRows(torch.autograd.Function):
    """Logits of several choices as rows of one table.

    Args:
        places: As `DrawTable.places`.
        nothing: Minus infinity, (1,).
        counts: Candidates of every row.
        logits: Of every row.
    """

    @staticmethod
    def forward(ctx: Any, places: Tensor, nothing: Tensor, counts: list[int], *logits: Tensor) -> Tensor:
        ctx.counts = counts
        return torch.cat([*logits, nothing])[places]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Any, ...]:
        return None, None, None, *(row[:count] for row, count in zip(upstream[0], ctx.counts, strict=True))


class Draw(torch.autograd.Function):
    """The weights of eq. 3 and 4: softmax over the drawn candidates of (logits + noise) / tau.

    Args:
        how: Rows of widths, candidates of every row, the most that are drawn of a width, tau.
        last: (rows, 1): how many are drawn of each, less one.
        noise: As `DrawTable.noise`.
        logits: As `DrawTable.rows_now`.

    Returns:
        (rows of widths, most candidates), and (candidates,) for each of the others.
    """

    @staticmethod
    def forward(
        ctx: Any,
        how: tuple[int, list[int], int, float | Tensor],
        last: Tensor,
        noise: Tensor,
        logits: Tensor,
    ) -> tuple[Tensor, ...]:
        widths, counts, samples, tau = how
        gumbel, order = noise
        noisy = (logits + gumbel) / tau  # log weights, but for a constant of each row
        heights = noisy + order
        lowest = heights.topk(min(samples, heights.shape[1]), 1).values.gather(1, last)
        weights = noisy.masked_fill_(heights < lowest, -float("inf")).softmax(1)
        ctx.save_for_backward(weights)
        ctx.widths, ctx.counts, ctx.tau = widths, counts, tau
        ctx.set_materialize_grads(False)
        return weights[:widths], *(row[:count] for row, count in zip(weights[widths:], counts[widths:]))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor | None) -> tuple[Any, ...]:
        (weights,) = ctx.saved_tensors
        of_widths, *of_depths = upstream
        rows, most = weights.shape
        none = weights.new_zeros(most)
        parts = [none] * ctx.widths if of_widths is None else [of_widths.reshape(-1)]
        for own, count in zip(of_depths, ctx.counts[ctx.widths :], strict=True):
            parts += [none] if own is None else [own, none[: most - count]]
        gradient = torch.cat(parts).view(rows, most)
        gradient = torch._softmax_backward_data(gradient, weights, 1, weights.dtype) / ctx.tau
        return None, None, None, gradient
