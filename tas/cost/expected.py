"""The expectation of a cost over distributions of widths and depths, differentiable in them."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from tas.cost.tables import CostTable, Probabilities
from tas.reading.plan import Width


class ExpectedCost:
    """The expectation of a cost over all networks, every width and depth chosen independently.

    Of a cost that is the largest of several sums it is the largest of their expectations, which is at most its own.
    That of a sum is exact, not an estimate: no table's two widths and depth depend on one another, so each term is a
    product. The sum over the tables is one product of padded tensors; a loop over them would be many small operations
    in each step.

    Args:
        tables: The costs.
        widths, stages: In which order their probabilities stand in a table of all.
    """

    def __init__(self, tables: Sequence[CostTable], widths: Iterable[str], stages: Iterable[str]) -> None:
        self.widths, self.stages = list(widths), list(stages)
        # Row 0 of the probabilities is a certain choice: of numbers that are fixed, of what is always paid.
        width_row: dict[Width | None, int] = {name: row for row, name in enumerate(self.widths, 1)}
        stage_row: dict[Width | None, int] = {name: row for row, name in enumerate(self.stages, 1 + len(self.widths))}
        ends = [(width_row.get(t.reads, 0), width_row.get(t.writes, 0), stage_row.get(t.stage, 0)) for t in tables]
        paid = [t.depths if t.stage is not None else (0,) for t in tables]
        self.most = max(max(*table.cost.shape, 1 + max(depths)) for table, depths in zip(tables, paid))
        costs = torch.zeros(len(tables), self.most, self.most, dtype=torch.float64)
        when = torch.zeros(len(tables), self.most, dtype=torch.float64)
        for index, table in enumerate(tables):
            costs[index, : table.cost.shape[0], : table.cost.shape[1]] = table.cost
            when[index, list(paid[index])] = 1
        places = {part: place for place, part in enumerate(dict.fromkeys(table.part for table in tables))}
        parts = torch.zeros(len(places), len(tables), dtype=torch.float64)
        parts[[places[table.part] for table in tables], range(len(tables))] = 1
        self.tensors: tuple[Tensor, ...] = torch.tensor(ends).t(), costs, when, parts
        self.certain = torch.eye(1, self.most, dtype=torch.float64)

    def __call__(self, widths: Probabilities, depths: Probabilities) -> Tensor:
        """The expected cost: a float64 scalar, differentiable in the probabilities."""
        return self.total(self.rows(widths, depths))

    def at_argmax(self, rows: Tensor) -> Tensor:
        """The cost of the network of the most probable candidates of `rows`: a float64 scalar."""
        certain = torch.zeros_like(rows)
        return self.total(certain.scatter_(1, rows.detach().argmax(1, keepdim=True), 1.0))

    def rows(self, widths: Probabilities, depths: Probabilities) -> Tensor:
        """All probabilities, (1 + widths + stages, most candidates), zero beyond the candidates that there are."""
        given = [*(widths[name] for name in self.widths), *(depths[name] for name in self.stages)]
        if not given:
            return self.certain
        rows = nn.utils.rnn.pad_sequence(given, batch_first=True)
        if rows.device.type == "mps":  # it has no double precision
            rows = rows.cpu()
        return self.rows_of(rows)

    def rows_of(self, table: Tensor) -> Tensor:
        """The same of probabilities that stand in a table already: (widths + stages, most candidates of them), zero
        beyond the candidates that there are."""
        if self.certain.device != table.device:
            self.certain = self.certain.to(table.device)
        rows = table[:, : self.most].double()
        if rows.shape[1] < self.most:
            rows = nn.functional.pad(rows, (0, self.most - rows.shape[1]))
        return torch.cat([self.certain, rows])

    def total(self, rows: Tensor) -> Tensor:
        """The sum of all tables under these probabilities; of several sums the largest."""
        if self.tensors[0].device != rows.device:
            self.tensors = tuple(tensor.to(rows.device) for tensor in self.tensors)
        ends, tables, when, parts = self.tensors
        reads, writes, stages = rows[ends]
        costs = (reads[:, None] @ tables @ writes[:, :, None]).flatten()
        paid = (stages * when).sum(1)
        return costs @ paid if len(parts) == 1 else (parts @ (costs * paid)).amax()
