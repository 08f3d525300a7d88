"""The candidates between which a search chooses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tas.architecture import Architecture

RATIOS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""The paper's shares of a convolution's channels."""


def width_candidates(channels: int, ratios: Sequence[float] = RATIOS) -> tuple[int, ...]:
    """int(channels * ratio) for each ratio, at least 1, ascending, without duplicates: 16 gives 4 6 8 9 11 12 14 16."""
    # 90 * 0.7 comes out a little below 63; the small term keeps it there.
    return tuple(sorted({max(1, int(channels * ratio + 1e-9)) for ratio in ratios}))


def depth_candidates(blocks: int) -> tuple[int, ...]:
    """All of 1..blocks up to three; else every odd number, and all of them: 18 gives 1 3 5 ... 17 18."""
    if blocks <= 3:
        return tuple(range(1, blocks + 1))
    return tuple(sorted({*range(1, blocks + 1, 2), blocks}))


@dataclass(frozen=True)
class SearchSpace:
    """The candidates of every width and depth of one network, ascending; a single candidate is not searched."""

    full: Architecture
    """The unpruned network."""
    widths: Mapping[str, tuple[int, ...]]
    depths: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(
        cls,
        full: Architecture,
        ratios: Sequence[float] = RATIOS,
        search_widths: bool = True,
        search_depths: bool = True,
    ) -> "SearchSpace":
        """The paper's space around an unpruned network, or its widths or depths alone."""
        widths = {n: width_candidates(c, ratios) if search_widths else (c,) for n, c in full.widths.items()}
        depths = {n: depth_candidates(d) if search_depths else (d,) for n, d in full.depths.items()}
        return cls(full, widths, depths)

    def choose(self, widths: Mapping[str, int], depths: Mapping[str, int]) -> Architecture:
        """The architecture with these widths and depths."""
        return Architecture(self.full.network, self.full.num_classes, self.full.in_channels, widths, depths)

    def smallest(self) -> Architecture:
        """The narrowest and shallowest network of the space, which is also its cheapest."""
        return self.choose({n: c[0] for n, c in self.widths.items()}, {n: c[0] for n, c in self.depths.items()})
