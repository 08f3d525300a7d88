"""Runs an OpenVINO file in a process without torch: python reload_openvino.py FILE IMAGES.npy LOGITS.npy"""

import sys

import numpy as np
import openvino

if __name__ == "__main__":
    file, images, logits = sys.argv[1:]
    # Single precision, which some processors would leave of themselves.
    model = openvino.compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    np.save(logits, model(np.load(images))[0])
