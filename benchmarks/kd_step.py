"""Time a distillation step of a student against its plain training step, and its teacher's part of it.

    python benchmarks/kd_step.py --architecture configs/published/cifar10-resnet56.json

Each round is a plain step, a distillation step and the teacher's forward pass, in one process one after the other.
"""

import argparse
import json
import statistics
from contextlib import nullcontext

import torch
from search_step import CLASSES, Step, circumstances, milliseconds, plain_step, training_step

from tas.architecture import Architecture
from tas.cutting.build import build
from tas.distillation.loss import distillation_loss
from tas.distillation.teachers import Teacher, fast_in_bfloat16, predicts_alike
from tas.networks import open_network
from tas.training.memory import keep_freed_memory


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", required=True, help="the student's, of a CIFAR ResNet")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"])
    options = parser.parse_args()
    options.precision = "float32"
    keep_freed_memory()
    torch.manual_seed(0)
    architecture = Architecture.load(options.architecture)
    images = torch.randn(options.batch_size, 3, 32, 32, device=options.device)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(CLASSES, (options.batch_size,), device=options.device)
    student = build(architecture).to(options.device, memory_format=torch.channels_last)
    network = open_network(architecture.network, architecture.num_classes).to(options.device)
    low = fast_in_bfloat16(images.device) and predicts_alike(network, images, torch.bfloat16)
    teacher = Teacher(network, torch.bfloat16 if low else None)
    steps: list[Step] = [
        plain_step(student, images, labels, nullcontext),
        training_step(student, lambda: distillation_loss(student(images), teacher(images), labels, 0.9, 4.0)),
        lambda: teacher(images),
    ]
    for _ in range(3):
        for step in steps:
            step()
    rounds = [[milliseconds(step) for step in steps] for _ in range(options.pairs)]
    plain, distil, asked = (statistics.median(column) for column in zip(*rounds))
    ratios = [distilled / alone for alone, distilled, _ in rounds]
    row = {
        "architecture": options.architecture,
        "batch_size": options.batch_size,
        "plain_ms": round(plain, 1),
        "kd_ms": round(distil, 1),
        "teacher_ms": round(asked, 1),
        "teacher_dtype": str(teacher.dtype or torch.float32).removeprefix("torch."),
        "ratio": round(statistics.median(ratios), 2),
        "ratio_min": round(min(ratios), 2),
        "ratio_max": round(max(ratios), 2),
    }
    print(json.dumps(row | circumstances(options)))


if __name__ == "__main__":
    main()
