"""`tas predict`: the classes of image files, by the network of a finished run."""

import json

from tas.config import PredictOptions
from tas.errors import TasError, printable
from tas.runs.prediction import predict


def predict_images(options: PredictOptions) -> None:
    """Print the most probable classes of each image."""
    if options.run is None or not options.images:
        raise TasError("give a finished run and image files: tas predict runs/train/RUN a.png b.jpg")
    guessed = predict(options.run, options.images, options.top)
    names = [printable(file) for file in options.images]
    width = max(map(len, names))
    for file, name, guesses in zip(options.images, names, guessed, strict=True):
        if options.json:
            print(json.dumps({"image": file, "classes": {guess.name: guess.probability for guess in guesses}}))
        else:
            told = (f"{printable(guess.name)} {guess.probability:.1%}" for guess in guesses)
            print(f"{name:<{width}}  " + ", ".join(told))
