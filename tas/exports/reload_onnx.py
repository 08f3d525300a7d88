"""Runs an ONNX file in a process without torch: python reload_onnx.py FILE IMAGES.npy LOGITS.npy"""

import sys

import numpy as np
import onnxruntime

if __name__ == "__main__":
    file, images, logits = sys.argv[1:]
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    np.save(logits, session.run(None, {session.get_inputs()[0].name: np.load(images)})[0])
