"""docs/networks.md, out of the rows of networks.py."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

TEXT = """# Networks that can be searched

`--network` takes `torchvision/NAME`, `timm/NAME` (`pip install -e ".[timm]"`), `package.module:factory` and the CIFAR
ResNets. `print(tas.search_space(network, images))` shows what TAS finds in a network of yours: which layers share a
width, between which widths a search chooses, which stages can be shorter, what is left alone and why.

In a network that is not one of the CIFAR ResNets

- the layers whose outputs an addition or product joins share one width; so do the parts that a channel shuffle mixes;
- what works channel by channel (depthwise convolutions, norms, layer scales) follows its input; a grouped convolution
  loses whole groups, so that widths are multiples of a group;
- a layer after a concatenation, a flatten or a pooling reads what is left of each part;
- a stage is a chain of blocks in an `nn.Sequential` or `nn.ModuleList`, each of which adds to its input; the first one
  always stays;
- the image's channels and the logits are never touched. What feeds an operation that TAS has no rule for keeps its
  full width, and the table says so;
- a layer that stands in several places has one width, and costs as much as it is used; sizes that a forward pass reads
  (`b, c, h, w = x.shape`) follow the width that they are of, or keep it full where the code computes with them;
- a gate of one channel goes with however many there are.

What TAS makes searchable stays where it stands, an object of a class derived from its own: attributes that are read,
`isinstance`, hooks, further arguments and replaced forward passes stay as they are; of a block that is left out its plain
attributes stay. Before a search the fresh supernet is run beside the network, and forced to its smallest choice beside
one that is cut out, in evaluation and in training (`tas.check_supernet`): where they differ, the network is refused.

A network is refused, in one line, if its forward pass depends on the data or its shape, if one norm follows several
layers, if its training pass needs what a smaller network lacks, or if nothing of it can be smaller.

## Every classification network of torchvision, and timm's families

{summary}

Of timm: the smallest network of each family, those whose names begin alike in one of its modules
(`benchmarks/timm_families.txt`).

{refusals}

Torch-Pruning's MagnitudePruner was told what the classifier is and which projections have heads, as in its own scripts,
and asked for half of the channels of each layer; it prunes a network if what it leaves is smaller, runs and gives logits.
It cuts channels alone, by weights that are there; TAS also leaves out blocks, and needs to run every choice in one
supernet. {both}

| column | |
|---|---|
| FLOPs | multiply-adds of convolutions and linear layers for one image of this size; in brackets what torch's counter sees beside them, such as products of attention: a budget is of the former |
| reached | the share of them in layers that a searched width gives or takes channels of, or whose block can be left out |
| down to | the FLOPs of the smallest network, of the paper's candidates (30 to 100 % of each width, 1 to all blocks of each stage) |
| widths, blocks | what is searched: widths, each shared by one or more of the layers, and the stages |
| file | weights of the whole network and of the smallest |
| differ | supernet and networks cut out of it (the smallest, two of random widths and depths): the largest difference of their logits as a share of the largest logit; single precision, evaluation, random norms |
| export | whether `torch.export` takes the smallest network and gives the same |
| Torch-Pruning | FLOPs that it leaves |

For each network FLOPs by the plan, by `tas.flops` and, where nothing is beside them, by torch's counter were equal.

{table}

Layers that are left alone, beside those that give the logits: {left_alone}

{failed}

Written by `python benchmarks/networks.py --rows {rows} --output docs/networks.md` (seed 0)
on {machine}, torch {torch}, torchvision {torchvision}, timm {timm}, Torch-Pruning {torch_pruning}, commit {commit}.
"""

ROWS = "benchmarks/results/networks.jsonl"

HEADS = (
    "network", "size", "FLOPs", "reached", "down to", "widths of layers", "blocks", "file", "differ", "export",
    "Torch-Pruning",
)  # fmt: skip

Row = Mapping[str, Any]


def document(rows: Sequence[Row]) -> str:
    """The whole document."""
    ours = [row for row in rows if row["kind"] == "tas"]
    theirs = {row["network"]: row for row in rows if row["kind"] == "torch-pruning"}
    refused = [row for row in ours if row["refused"]]
    return TEXT.format(
        summary=summary(ours, theirs),
        refusals=f"Refused: {listed(refused, 'refused')}" if refused else "None is refused.",
        both=only_theirs(ours, theirs),
        table=table(ours, theirs),
        left_alone=left_alone(ours),
        failed=f"What Torch-Pruning said where it fails: {listed([*theirs.values()], 'failed')}",
        rows=ROWS,
        **{name: the_one(ours, name) for name in ("machine", "torch", "torchvision", "timm", "torch_pruning", "commit")},
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
        pruned = sum(row["network"] in theirs and not theirs[row["network"]]["failed"] for row in rows)
        cells = (
            library,
            len(rows),
            len(searched),
            f"{len(rows) - len(searched)} ({1 - len(searched) / len(rows):.1%})",
            f"{shares[len(shares) // 2]:.0%}" if shares else "-",
            sum(row["exported"] is True for row in searched),
            pruned,
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def only_theirs(ours: Sequence[Row], theirs: Mapping[str, Row]) -> str:
    """Which networks the other prunes and TAS refuses."""
    names = [row["network"] for row in ours if row["refused"] and not theirs.get(row["network"], {"failed": 1})["failed"]]
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
        for why in row.get("left_alone", {}).values():
            layers[why] += 1
            networks.setdefault(why, set()).add(row["network"])
    lines = [f"- {count} of {len(networks[why])} networks: {why}" for why, count in layers.most_common(20)]
    return "\n".join(["", *lines])
