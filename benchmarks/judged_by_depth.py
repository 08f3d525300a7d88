"""Whether supernets misjudge networks by their depths: docs/experiments/2026-11-25-what-the-search-sees.md.

python benchmarks/judged_by_depth.py benchmarks/results/2026-11-25-depth-training-cpu.json

Reads the structures.json of a comparison whose searches were ranked (`tas compare --rank 20`), and prints a line a
search: how networks with a stage of one block differ from the others in the supernet's loss and in accuracy, each
trained alone; how well the supernet orders the others; how those with all blocks differ from the rest in accuracy; and
how the found network differs from those with as many blocks, of which it beats so many.
"""

import argparse
import json
import math
import statistics
from pathlib import Path
from typing import Any

from tas.comparison.tables import markdown
from tas.search.ranking import Judged, kendall_tau

HEAD = (
    "method",
    "seed",
    "with a stage of one block",
    "their loss",
    "their accuracy",
    "tau of the others",
    "p",
    "with all blocks",
    "their accuracy",
    "as many blocks as the found",
    "it beats",
    "by",
)


def line(row: dict[str, Any]) -> tuple[str, ...]:
    """What the random networks of one search show, and the found one, which is last."""
    # Older rows have no widths here, which do not matter.
    *judged, found = [Judged(**{"widths": {}} | one) for one in row["ranking"]]
    alike = [one.val_accuracy for one in judged if sum(one.depths.values()) == sum(found.depths.values())]
    most = {stage: max(one.depths[stage] for one in judged) for stage in judged[0].depths}
    shallow = [one for one in judged if 1 in one.depths.values()]
    others = [one for one in judged if one not in shallow]
    full = [one for one in judged if one.depths == most]
    rest = [one for one in judged if one not in full]
    tau, p_value = kendall_tau(others) if len(others) > 1 else (math.nan, math.nan)
    return (
        row["method"],
        str(row["seed"]),
        str(len(shallow)),
        gap([one.supernet_loss for one in shallow], [one.supernet_loss for one in others]),
        gap([100 * one.val_accuracy for one in shallow], [100 * one.val_accuracy for one in others]),
        f"{tau:+.2f}",
        f"{p_value:.2g}",
        str(len(full)),
        gap([100 * one.val_accuracy for one in full], [100 * one.val_accuracy for one in rest]),
        str(len(alike)),
        str(sum(found.val_accuracy > accuracy for accuracy in alike)),
        gap([100 * found.val_accuracy], [100 * accuracy for accuracy in alike]),
    )


def tells(row: dict[str, Any]) -> bool:
    """Whether a search was ranked, by networks of which the depths were kept: the oldest rows have numbers alone."""
    return len(row.get("ranking", [])) > 2 and isinstance(row["ranking"][0], dict)


def gap(own: list[float], other: list[float]) -> str:
    """The difference of two means."""
    return f"{statistics.fmean(own) - statistics.fmean(other):+.2f}" if own and other else "-"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path, help="a structures.json")
    rows = json.loads(parser.parse_args().rows.read_text(encoding="utf-8"))
    print(markdown(HEAD, [line(row) for row in rows if tells(row)]), end="")
