"""Run every command once, in short, with the Python that runs this: as a user does who has these versions."""

import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from PIL import Image

COMMANDS = [
    "search --epochs 2 --probes 20 --draws 5 --output found",
    "derive found --flops-target 0.4 --output derived",
    "train --kd --architecture found --epochs 1 --output trained",
    "search --strategy gumbel-mixture --epochs 2 --precision bf16-mixed --output mixed",
    "profile trained --no-onnx",
    "predict trained image.png",
    "export trained --format torch",
]

print(", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "pytorch-lightning", "numpy", "scipy")))
with tempfile.TemporaryDirectory() as place:
    Image.new("L", (8, 8), 90).save(Path(place, "image.png"))
    for command in COMMANDS:
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "tas", *command.split()], cwd=place, capture_output=True, text=True
        )
        print(f"{time.monotonic() - began:4.0f} s  tas {command}", flush=True)
        # TAS's own warnings do not have this word; a library's is of what it will soon take away.
        bad = [line for line in done.stderr.splitlines() if "Warning" in line]
        if done.returncode or bad:
            sys.exit(f"tas {command}: status {done.returncode}\n{done.stderr[-3000:]}")
print(f"{len(COMMANDS)} commands run")
