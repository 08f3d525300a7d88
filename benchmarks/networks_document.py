"""docs/networks.md, out of the rows of networks.py."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).with_name("networks_template.md")

ROWS = "benchmarks/results/2026-11-28-networks.jsonl"

CIRCUMSTANCES = ("machine", "torch", "torchvision", "timm", "torch_pruning", "commit")

HEADS = (
    "network", "size", "FLOPs", "reached", "down to", "widths of layers", "blocks", "file", "differ", "export",
    "Torch-Pruning",
)  # fmt: skip

Row = Mapping[str, Any]


def document(rows: Sequence[Row], networks: Sequence[str]) -> str:
    """The whole document.

    Args:
        rows: What has been measured.
        networks: What there is to measure, in the table's order.
    """
    place = {name: index for index, name in enumerate(networks)}
    rows = sorted(rows, key=lambda row: place.get(row["network"], len(place)))
    ours = [row for row in rows if row["kind"] == "tas"]
    missing = [name for name in networks if name not in {row["network"] for row in ours}]
    theirs = {row["network"]: row for row in rows if row["kind"] == "torch-pruning"}
    refused = [row for row in ours if row["refused"]]
    return TEMPLATE.read_text(encoding="utf-8").format(
        summary=summary(ours, theirs),
        refusals=f"Refused: {listed(refused, 'refused')}" if refused else "None is refused.",
        both=only_theirs(ours, theirs),
        table=table(ours, theirs),
        left_alone=left_alone(ours),
        failed=f"What Torch-Pruning said where it fails: {listed([*theirs.values()], 'failed')}",
        missing=unmeasured(len(missing), len(networks), len(theirs)),
        rows=ROWS,
        **{name: the_one(ours, name) for name in CIRCUMSTANCES},
    )


def unmeasured(missing: int, all: int, theirs: int) -> str:
    """What the tables lack; nothing once all is measured."""
    if not missing and theirs == all:
        return ""
    return (
        f"Not measured yet: {missing} of {all} networks, most of them large, and {all - theirs} by Torch-Pruning; the "
        "command below goes on with them.\n\n"
    )


def the_one(rows: Sequence[Row], name: str) -> str:
    """What all rows say of their circumstances."""
    return ", ".join(dict.fromkeys(str(row[name]) for row in rows))


def summary(ours: Sequence[Row], theirs: Mapping[str, Row]) -> str:
    """A line a library."""
    lines = [
        "| | networks | searched | refused | reached, median | exported | pruned by Torch-Pruning |",
        "|---|---|---|---|---|---|---|",
    ]
    for library in ("torchvision", "timm"):
        rows = [row for row in ours if row["network"].startswith(library)]
        if not rows:
            continue
        searched = [row for row in rows if not row["refused"]]
        shares = sorted(row["searchable"] for row in searched)
        others = [theirs[row["network"]] for row in rows if row["network"] in theirs]
        cells = (
            library,
            len(rows),
            len(searched),
            f"{len(rows) - len(searched)} ({1 - len(searched) / len(rows):.1%})",
            f"{shares[len(shares) // 2]:.0%}" if shares else "-",
            sum(row["exported"] is True for row in searched),
            f"{sum(not row['failed'] for row in others)} of {len(others)}",
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def only_theirs(ours: Sequence[Row], theirs: Mapping[str, Row]) -> str:
    """Which networks the other prunes and TAS refuses."""
    pruned = {name for name, row in theirs.items() if not row["failed"]}
    names = [row["network"] for row in ours if row["refused"] and row["network"] in pruned]
    if not names:
        return "It prunes none that is refused here."
    return f"Refused here and pruned by it: {', '.join(f'`{name}`' for name in names)}."


def listed(rows: Sequence[Row], what: str) -> str:
    """Networks under what was said of them, the most frequent first."""
    said: dict[str, list[str]] = {}
    for row in rows:
        if row.get(what):
            said.setdefault(row[what].replace(f"{row['network']}", "it").replace("|", "/"), []).append(row["network"])
    order = sorted(said.items(), key=lambda item: -len(item[1]))
    return "\n".join(["", *(f"- {', '.join(f'`{name}`' for name in names)}: {words}" for words, names in order)])


def table(ours: Sequence[Row], theirs: Mapping[str, Row]) -> str:
    """A line a network that is searched."""
    lines = [f"| {' | '.join(HEADS)} |", "|---" * len(HEADS) + "|"]
    for row in ours:
        if row["refused"]:
            continue
        other = theirs.get(row["network"])
        beside = f" (+{row['uncounted'] / (1 - row['uncounted']):.0%})" if row["uncounted"] > 0.005 else ""
        cells = (
            row["network"],
            row["size"],
            f"{row['flops'] / 1e6:.0f} M{beside}",
            f"{row['searchable']:.0%}",
            f"{row['smallest']:.1%}",
            f"{row['widths']} of {row['layers']}",
            " ".join(map(str, row["stages"])) or "-",
            f"{row['bytes'][0] / 1e6:.1f}, {row['bytes'][1] / 1e6:.1f} MB",
            f"{row['difference']:.0e}",
            "yes" if row["exported"] is True else "no",
            "-" if other is None else "fails" if other["failed"] else f"{other['flops']:.0%}",
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def left_alone(ours: Sequence[Row]) -> str:
    """How many layers of how many networks keep their width, by the reason."""
    layers: Counter[str] = Counter()
    networks: dict[str, set[str]] = {}
    for row in ours:
        for said in row.get("left_alone", {}).values():
            why = re.sub(r"^(\w+?)(_\d+)? in \S+", r"\1", said)  # the operation, wherever it stands
            why = re.sub(r"^\S+ reads it, and", "a module reads it, and", why)
            why = re.sub(r"^\S+ (has|works|stands) ", r"it \1 ", why) if not why.startswith("a ") else why
            layers[why] += 1
            networks.setdefault(why, set()).add(row["network"])
    lines = [f"- {count} of {len(networks[why])} networks: {why}" for why, count in layers.most_common(15)]
    return "\n".join(["", *lines])
