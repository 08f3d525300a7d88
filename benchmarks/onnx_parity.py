"""Whether the networks of docs/networks.md, made smaller, are exported to ONNX and give the same there.

    pip install -e ".[timm,export]"
    python benchmarks/onnx_parity.py --rows rows.jsonl
    python benchmarks/onnx_parity.py --rows few.jsonl --networks torchvision/resnet18 timm/convnext_zepto_rms

A row a network, kept as soon as it is measured, by a process of its own; the same command goes on where it was.

Of each network the smallest of its space is cut out, as for the table's column `export`, with numbers in the place of
the zeros and ones that networks start with and random norms, and is written and judged as `tas export` does it: by
torch's exporter for batches of any length, loaded again by ONNX Runtime in a process without torch, on four images of
random numbers, where logits may differ by 1e-4 of the largest, or 1e-4 where that is below 1, each image has to be told
as the same class, and the multiply-adds counted in the file have to be the network's.
"""

import argparse
import json
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnx  # noqa: F401  # with the next one, for the processes that are forked
import onnxscript  # noqa: F401
import torch
from apart import in_a_process
from networks import CLASSES, all_networks, rows_of, size_of

import tas
from tas.cutting.cut import cut
from tas.errors import TasError, gist
from tas.exports.check import check_parity
from tas.exports.formats import write_file
from tas.networks import open_network
from tas.runs.provenance import code_version, processor_name
from tas.supernet.check import lively

IMAGES = 4

SECONDS = 900
"""After which a network is given up."""


def measure(name: str) -> dict[str, Any]:
    """How far the exported file's logits are from the network's; `failed` says why there is none."""
    torch.manual_seed(0)
    size, began = size_of(name), time.perf_counter()
    network = lively(open_network(name, CLASSES, 3).eval())
    space = tas.search_space(network, torch.empty(1, 3, size, size), name=name)
    small = cut(network, space.plan, space.smallest()).eval()
    batch = torch.randn(IMAGES, 3, size, size)
    with torch.no_grad():
        largest = float(small(batch).abs().max())
    row: dict[str, Any] = {"network": name, "size": size, "failed": None, "largest_logit": round(largest, 4)}
    with tempfile.TemporaryDirectory() as place:
        file = Path(place, "model.onnx")
        try:
            write_file("onnx", small, batch, file, {})
            parity = check_parity("onnx", file, small, batch)
            row |= {"difference": parity.difference / max(1.0, largest), "multiply_adds": parity.multiply_adds}
            row["bytes"] = file.stat().st_size
        except TasError as error:
            row["failed"] = gist(error, length=300)
    return row | {"seconds": round(time.perf_counter() - began, 1)}


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, required=True, help="a file of JSON lines, gone on with")
    parser.add_argument("--networks", nargs="+", help="others than all")
    options = parser.parse_args()
    versions = {name: version(name) for name in ("torch", "torchvision", "timm", "onnx", "onnxscript", "onnxruntime")}
    machine = {"machine": processor_name(), "commit": code_version(), **versions}
    done = {row["network"] for row in rows_of(options.rows)}
    for name in dict.fromkeys(options.networks or all_networks()):
        if name in done:
            continue
        row = in_a_process(measure, name, SECONDS, "failed") | machine
        with options.rows.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(*[f"{key} {value}" for key, value in row.items() if key not in machine], sep="  ", flush=True)


if __name__ == "__main__":
    main()
