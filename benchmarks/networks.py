"""What TAS finds in twenty networks of torchvision and timm, as docs/networks.md shows it.

python benchmarks/networks.py --output docs/networks.md
"""

import argparse
import platform
import random
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from tas.architecture import Architecture
from tas.cost.count import flops, parameters
from tas.cost.measures import FLOPS
from tas.cutting.cut import cut
from tas.networks import open_network
from tas.space.of_network import search_space
from tas.space.space import SearchSpace
from tas.supernet.norms import CandidateNorm
from tas.supernet.supernet import Supernet

TORCHVISION = """resnet18 resnet50 wide_resnet50_2 resnext50_32x4d vgg16_bn mobilenet_v2 mobilenet_v3_small mnasnet1_0
    efficientnet_b0 regnet_y_400mf densenet121 googlenet inception_v3 squeezenet1_1 convnext_tiny shufflenet_v2_x1_0"""
TIMM = "resnet26d mobilenetv3_small_100 efficientnet_lite0 repvgg_a0"
NETWORKS = [f"torchvision/{name}" for name in TORCHVISION.split()] + [f"timm/{name}" for name in TIMM.split()]

CHOICES = 5
"""Random architectures for which supernet and cut network are compared."""

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
  full width, and the table says so.

A network is refused, in one line, if its forward pass depends on the data or its shape, if it uses one layer in two
places, or if nothing of it can be smaller.

## Twenty networks

Widths are what is searched, each shared by one or more layers; FLOPs are those of one {size} image (inception_v3:
299 x 299), in multiply-adds of convolutions and linear layers, and their range that of the paper's candidates (30 to
100 % of each width, 1 to all blocks of each stage). `largest difference` is that between the logits of the supernet
forced to an architecture and of the network cut out of it: {choices} random architectures, 64 x 64 images, random
norms, single precision, eval mode. For each of them `tas.flops`, torch's counter halved and the plan's cost were equal.

{table}

`supernet` is the supernet's parameters in units of the network's own, `read` and `build` the seconds that reading the
network and making the supernet took. Every layer that is left alone is the one that gives the logits{others}.

Written by `python benchmarks/networks.py --output docs/networks.md` (seed 0) on {machine}, torch
{torch}, commit {commit}.
"""


class Row(NamedTuple):
    """One line of the table."""

    network: str
    widths: str
    layers: str
    stages: str
    flops: str
    smallest: str
    parameters: str
    supernet: str
    read: str
    build: str
    difference: str


HEADS = Row(
    "network",
    "widths",
    "layers",
    "blocks of each stage",
    "FLOPs",
    "down to",
    "parameters",
    "supernet",
    "read",
    "build",
    "largest difference",
)


def measure(name: str) -> tuple[Row, list[str]]:
    """The row of one network, and what is left alone in it beside its output."""
    torch.manual_seed(0)
    network = open_network(name, 1000, 3).eval()
    size = 299 if name.endswith("inception_v3") else 224
    began = time.perf_counter()
    space = search_space(network, torch.empty(1, 3, size, size), name=name)
    read = time.perf_counter() - began
    began = time.perf_counter()
    supernet = Supernet(network, space)
    built = time.perf_counter() - began
    full = FLOPS.exact(space.plan, space.full)
    difference = largest_difference(name, network)
    row = Row(
        name,
        str(sum(len(candidates) > 1 for candidates in space.widths.values())),
        str(len({layer.name for layer in space.plan.layers})),
        " ".join(map(str, space.plan.depths().values())) or "-",
        f"{full / 1e6:.0f} M",
        f"{FLOPS.exact(space.plan, space.smallest()) / full:.1%}",
        f"{parameters(network) / 1e6:.2f} M",
        f"{parameters(supernet) / parameters(network):.3f}",
        f"{read:.1f} s",
        f"{built:.1f} s",
        f"{difference:.1e}",
    )
    alone = [f"{name} {layer}: {why}" for layer, why in space.plan.left_alone.items() if "output" not in why]
    return row, alone


def largest_difference(name: str, network: nn.Module) -> float:
    """Between supernet and cut network, over random architectures; their FLOPs are held against torch's counter."""
    size = 75 if name.endswith("inception_v3") else 64
    images = torch.randn(2, 3, size, size)
    space = search_space(network, images, name=name)
    supernet = Supernet(network, space)
    for module in supernet.modules():
        if isinstance(module, CandidateNorm):
            nn.init.uniform_(module.scales, 0.5, 1.5)
            nn.init.normal_(module.shifts, std=0.1)
    generator, worst = random.Random(0), 0.0
    with torch.no_grad():
        supernet.train()(images)  # gives the norms statistics
        supernet.eval()
        for _ in range(CHOICES):
            architecture = random_architecture(space, generator)
            supernet.force(architecture)
            small = cut(network, space.plan, architecture, supernet.weights(architecture)).eval()
            worst = max(worst, (supernet(images) - small(images)).abs().max().item())
            counted = torch_flops(small, images[:1])
            if not flops(small, images.shape[1:]) == FLOPS.exact(space.plan, architecture) == counted:
                raise AssertionError(f"{name}: three ways to count FLOPs disagree")
    return worst


def random_architecture(space: SearchSpace, generator: random.Random) -> Architecture:
    """Any architecture of a space."""
    widths = {name: generator.choice(candidates) for name, candidates in space.widths.items()}
    return space.choose(widths, {name: generator.choice(candidates) for name, candidates in space.depths.items()})


def torch_flops(network: nn.Module, images: torch.Tensor) -> int:
    """Multiply-adds by torch's own counter, which counts two for each."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        network(images)
    return counter.get_total_flops() // 2


def main() -> None:
    """Measure all networks and write the document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    options = parser.parse_args()
    rows, alone = [HEADS, Row(*["---"] * len(HEADS))], []
    for name in options.networks:
        row, others = measure(name)
        print(*row, sep="  ", flush=True)
        rows.append(row)
        alone += others
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    text = TEXT.format(
        size="224 x 224",
        choices=CHOICES,
        table="\n".join(f"| {' | '.join(row)} |" for row in rows),
        others="".join(f"; {line}" for line in alone),
        machine=f"{torch.get_num_threads()} threads of an {platform.machine()} processor",
        torch=torch.__version__,
        commit=commit.stdout.strip(),
    )
    options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
