"""What a finished search's supernet loses with fewer blocks: its loss, forced to every depth, at its likeliest widths.

python benchmarks/forced_depths.py RUN

Prints a line of JSON a network, each stage as deep as the others: its depths and its cross-entropy on the images by
which the search moved its logits, batch-norm statistics taken anew on the others.
"""

import argparse
import json
from dataclasses import replace

import torch

from tas.runs.run import Run
from tas.search.ranking import forced_loss
from tas.search.task import reopen_search
from tas.space.derivation import argmax


def main(run: Run) -> None:
    """Print the lines of a run."""
    task, module = reopen_search(run)
    halves = task.halves
    likeliest = argmax(task.space, *module.supernet.probabilities())
    images = halves.data.train_images()
    for depth in range(1, max(task.space.full.depths.values()) + 1):
        depths = {stage: min(depth, most) for stage, most in task.space.full.depths.items()}
        batches = halves.data.training_batches(images, halves.weights_half)
        one = replace(likeliest, depths=depths)
        loss = forced_loss(module.supernet, one, batches, halves.val_dataloader(), torch.device("cpu"))
        print(json.dumps({"run": str(run.path), "depths": list(depths.values()), "loss": round(loss, 4)}), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="the folder of a finished search")
    main(Run(parser.parse_args().run))
