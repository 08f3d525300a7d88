"""A network as Python code that needs torch alone: the numbers of its layers, written into the texts of `templates/`.

What the code gives is compared with the network each time that it is written, as of every exported file.
"""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from torch import Tensor, nn

from tas.cost.count import flops, parameters
from tas.errors import TasError
from tas.exports.preprocessing import Preprocessed
from tas.networks import NETWORKS, OTHERS
from tas.networks.cifar_mobilenet import CifarMobileNetV2, InvertedResidual, pointwise
from tas.networks.cifar_resnet import Bottleneck, CifarResNet, conv, shortcut
from tas.runs.weights_file import torch_bytes


def write_python(network: nn.Module, batch: Tensor, path: Path, said: Mapping[str, str]) -> None:
    """Write a module that makes the network, and beside it its weights, in a file of the same name that ends with .pt.

    Args:
        network: In evaluation; it may be `Preprocessed`.
        batch: What it takes.
        path: The module's file.
        said: `architecture` and `images`, as JSON.

    Raises:
        TasError: The network's code is not TAS's own.
    """
    inner = network.network if isinstance(network, Preprocessed) else network
    if type(inner) not in WRITERS:
        name = json.loads(said["architecture"])["network"]
        library, own = name.replace(":", "/").split("/")[0], ", ".join([*NETWORKS, *OTHERS])
        raise TasError(
            f"--format python writes {own}; {name} needs {library} and tas where it runs: take another format"
        )
    weights = path.with_suffix(".pt")
    path.write_text(module_text(inner, batch, weights.name, said, inner is not network), encoding="utf-8")
    weights.write_bytes(torch_bytes(inner.state_dict()))


def module_text(network: nn.Module, batch: Tensor, weights: str, said: Mapping[str, str], preprocessed: bool) -> str:
    """The module.

    Args:
        network: The network, without what normalises its images.
        batch: What it takes.
        weights: The name of their file.
        said: As for `write_python`.
        preprocessed: Whether the module's network normalises its images.
    """
    name, images = json.loads(said["architecture"])["network"], json.loads(said["images"])
    shape, code = batch.shape[1:], WRITERS[type(network)](network)
    imports = ["from pathlib import Path", "", "import torch", "from torch import Tensor, nn"]
    if "F." in code:
        imports.insert(3, "import torch.nn.functional as F")
    if preprocessed:
        imports.insert(0, "from collections.abc import Sequence")
        code = f"{code}\n\n{inspect.getsource(Preprocessed)}"
    mean, deviation, classes = (tuple(images[key]) for key in ("mean", "deviation", "classes"))
    constants = [f'MEAN, DEVIATION = {mean}, {deviation}\n"""Of each channel, of pixels from 0 to 1."""']
    if classes:
        names = indented([f"{quoted(str(name))}," for name in classes])
        constants.append("\n".join(["CLASSES = (", *names, ")", '"""In the order of the logits."""']))
    costs = f"{parameters(network):,} parameters, {flops(network, shape):,} multiply-adds an image"
    return filled(
        "module",
        title=f"{name}, made by TAS: {costs}.",
        weights=weights,
        shape=", ".join(map(str, shape)),
        images="bytes, 0 to 255, of type uint8" if preprocessed else "(pixels / 255 - MEAN) / DEVIATION",
        imports="\n".join(imports),
        constants="\n\n".join(constants),
        code=code,
        loaded="Preprocessed(network, MEAN, DEVIATION)" if preprocessed else "network",
    )


def filled(name: str, **parts: object) -> str:
    """A template with its parts."""
    file = Path(__file__).with_name("templates") / f"{name}.txt"
    return Template(file.read_text(encoding="utf-8")).substitute(parts)


def resnet_code(network: CifarResNet) -> str:
    """The classes of a CIFAR ResNet, the last one `Network`."""
    stages = []
    for name, stage in network.stages():
        calls = []
        for index, block in enumerate(stage):
            convs: list[Any] = [block.get_submodule(one) for one in network.spec.block.searched]
            numbers = [convs[0].in_channels, *(one.out_channels for one in convs)]
            halves = index == 0 and name != "stage1"
            calls.append(call(type(block).__name__, *numbers, stride=2 if halves else None))
        stages += [f"self.{name} = nn.Sequential(", *indented(calls), ")"]
    return filled(
        "cifar_resnet",
        functions=f"{inspect.getsource(conv)}\n\n{inspect.getsource(shortcut)}",
        block=filled("bottleneck" if network.spec.block is Bottleneck else "basic_block"),
        inputs=network.conv1.in_channels,
        stem=network.conv1.out_channels,
        stages="\n".join(indented(stages, 2)),
        last=network.fc.in_features,
        classes=network.fc.out_features,
    )


def mobilenet_code(network: Any) -> str:
    """The classes of a MobileNet-v2 for small images, the last one `Network`."""
    stages = []
    for stage in network.stages:
        # By their type: what stands in the place of a block that is left out passes for one.
        calls = [inverted_residual(block) for block in stage if type(block) is InvertedResidual]
        stages += ["nn.Sequential(", *indented(calls), "),"]
    return filled(
        "cifar_mobilenet",
        functions=inspect.getsource(pointwise),
        inputs=network.stem[0].in_channels,
        stem=network.stem[0].out_channels,
        stages="\n".join(indented(stages, 3)),
        before=network.last[0].in_channels,
        last=network.fc.in_features,
        classes=network.fc.out_features,
    )


def inverted_residual(block: Any) -> str:
    """The line of a block."""
    depthwise, project = block.depthwise[0], block.project[0]
    expands = not isinstance(block.expand, nn.Identity)
    inputs = block.expand[0].in_channels if expands else depthwise.in_channels
    return call(
        "InvertedResidual", inputs, depthwise.out_channels, project.out_channels,
        stride=2 if depthwise.stride == (2, 2) else None,
        expands=None if expands else False,
        skips=True if block.skips else None,
    )  # fmt: skip


def quoted(text: str) -> str:
    """A string's literal as formatters write it."""
    return repr(text) if '"' in text else json.dumps(text, ensure_ascii=False)


def call(name: str, *numbers: int, **others: object) -> str:
    """The line of a call; of the others those that are not None."""
    given = [*map(str, numbers), *(f"{key}={value}" for key, value in others.items() if value is not None)]
    return f"{name}({', '.join(given)}),"


def indented(lines: Sequence[str], steps: int = 1) -> list[str]:
    """Lines moved to the right."""
    return ["    " * steps + line for line in lines]


WRITERS: dict[type[nn.Module], Callable[[Any], str]] = {CifarResNet: resnet_code, CifarMobileNetV2: mobilenet_code}
"""A network's class -> what writes its code."""
