"""Runs the network of a Python file with torch alone: python reload_python.py FILE IMAGES.npy LOGITS.npy"""

import runpy
import sys

import numpy as np
import torch

if __name__ == "__main__":
    file, images, logits = sys.argv[1:]
    sys.modules["tas"] = None  # type: ignore[assignment]  # the file has to do without it
    with torch.no_grad():
        np.save(logits, runpy.run_path(file)["load"]()(torch.from_numpy(np.load(images))).numpy())
