"""Runs the network of a file of weights: python reload_safetensors.py FILE IMAGES.npy LOGITS.npy"""

import json
import sys

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from tas.architecture import Architecture
from tas.cutting.build import build
from tas.networks.weights import versioned

if __name__ == "__main__":
    file, images, logits = sys.argv[1:]
    with safe_open(file, "pt") as opened:
        architecture = Architecture(**json.loads(opened.metadata()["architecture"]))
    network = build(architecture)
    network.load_state_dict(versioned(load_file(file), network))
    with torch.no_grad():
        np.save(logits, network.eval()(torch.from_numpy(np.load(images))).numpy())
