"""Runs a program of torch.export in a process with torch alone: python reload_torch.py FILE IMAGES.npy LOGITS.npy"""

import sys

import numpy as np
import torch

if __name__ == "__main__":
    file, images, logits = sys.argv[1:]
    with torch.no_grad():
        np.save(logits, torch.export.load(file).module()(torch.from_numpy(np.load(images))).numpy())
