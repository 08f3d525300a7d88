import copy
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tas.config.groups import Distillation, Recipe
from tas.cutting.build import build
from tas.distillation.features import FeatureDistillation, Staged
from tas.distillation.loss import distillation_loss
from tas.distillation.teachers import Teacher, Teachers
from tas.training.module import TrainModule
from tas.training.schedules import cosine
from tests.conftest import bare_trainer
from tests.spaces import unpruned

SMALL = unpruned("resnet20", num_classes=3, in_channels=1)


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return build(SMALL)


def make_module(
    teacher: nn.Module | None = None, momentum: float = 0.9, distillation: Distillation = Distillation()
) -> TrainModule:
    recipe = Recipe(epochs=2, lr=0.1, momentum=momentum, weight_decay=5e-4)
    teachers = Teachers([Teacher(teacher)]) if teacher else None
    return TrainModule(network(0), 3, recipe, teachers, distillation=distillation)


def loader(batches: int = 3) -> DataLoader:
    images = torch.randn(batches * 4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return DataLoader(TensorDataset(images, torch.arange(batches * 4) % 3), batch_size=4)


def run(module: TrainModule, test: bool = False, callback: pl.Callback | None = None) -> dict[str, float]:
    """Train (or test) on noise; returns what was logged."""
    trainer = bare_trainer(module.recipe.epochs, callback)
    if test:
        trainer.test(module, loader(), verbose=False)
    else:
        trainer.fit(module, loader())
    return {key: float(value) for key, value in trainer.callback_metrics.items()}


class Probe(pl.Callback):
    """Looks at every batch: the learning rate, the modes of the networks, the loss and what it is to be."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.modes: list[tuple[bool, bool]] = []
        self.teacher_gradients: list[Tensor | None] = []

    def on_before_optimizer_step(self, trainer: pl.Trainer, module: pl.LightningModule, optimizer: Any) -> None:
        assert isinstance(module, TrainModule)
        self.rates.append(optimizer.param_groups[0]["lr"])
        if module.teachers is not None:
            modes = {part.training for part in module.teachers.modules()}
            self.modes.append((module.network.training, any(modes)))
            self.teacher_gradients += [parameter.grad for parameter in module.teachers.parameters()]


def test_the_teacher_is_not_changed_and_stays_in_eval_mode() -> None:
    teacher = network(1)
    teacher(torch.randn(8, 1, 8, 8))  # running statistics of its own
    before = copy.deepcopy(teacher.state_dict())
    probe = Probe()
    module = make_module(teacher)
    run(module, callback=probe)
    assert probe.modes == [(True, False)] * 6
    assert probe.teacher_gradients == [None] * len(probe.teacher_gradients)
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())
    assert not all(torch.equal(a, b) for a, b in zip(module.network.parameters(), network(0).parameters()))


@pytest.mark.parametrize(("alpha", "temperature"), [(0.9, 4.0), (0.5, 2.0)])
def test_with_a_teacher_the_loss_is_the_distillation_loss(alpha: float, temperature: float) -> None:
    teacher = network(1)
    images, labels = next(iter(loader()))
    expected = distillation_loss(network(0)(images), teacher.eval()(images), labels, alpha, temperature)
    module = make_module(teacher, distillation=Distillation(kd_alpha=alpha, kd_temperature=temperature))
    assert first_loss(module) == pytest.approx(expected.item(), rel=1e-5)


def test_without_a_teacher_the_loss_is_the_cross_entropy() -> None:
    images, labels = next(iter(loader()))
    assert first_loss(make_module()) == pytest.approx(F.cross_entropy(network(0)(images), labels).item(), rel=1e-5)


def first_loss(module: TrainModule) -> float:
    losses: list[float] = []

    class First(pl.Callback):
        def on_train_batch_end(
            self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_index: int
        ) -> None:
            losses.append(float(outputs["loss"]))

    run(module, callback=First())
    return losses[0]


def test_the_optimiser_is_sgd_with_nesterov_momentum_on_the_network_alone() -> None:
    module = make_module(network(1))
    optimizer = module.configure_optimizers()
    assert isinstance(optimizer, torch.optim.SGD)
    (group,) = optimizer.param_groups
    expected = {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}
    assert {key: group[key] for key in expected} == expected
    assert [id(p) for p in group["params"]] == [id(p) for p in module.network.parameters()]
    assert not make_module(momentum=0.0).configure_optimizers().param_groups[0]["nesterov"]


def test_the_learning_rate_falls_along_a_cosine_over_all_batches() -> None:
    probe = Probe()
    run(make_module(), callback=probe)
    assert probe.rates == [cosine(0.1, iteration / 6) for iteration in range(6)]


def test_accuracies_are_those_of_the_networks_in_eval_mode() -> None:
    teacher = network(1)
    module = make_module(teacher)
    run(module)
    logged = run(module, test=True)
    images, labels = (torch.cat(part) for part in zip(*loader()))
    for key, judged in (("test_accuracy", module.network), ("teacher_accuracy", teacher)):
        right = (judged.eval()(images).argmax(1) == labels).float().mean()
        assert logged[key] == pytest.approx(right.item())


def test_without_a_teacher_none_is_judged() -> None:
    assert set(run(make_module(), test=True)) == {"test_accuracy", "constant_accuracy"}


def test_the_feature_terms_add_to_the_loss_and_train_their_regressor() -> None:
    teacher = network(1)
    ends = ("stage1.2", "stage2.2", "stage3.2")
    module = make_module(teacher)
    plain = first_loss(make_module(copy.deepcopy(teacher)))
    module.features = FeatureDistillation(
        Staged(module.network, ends), [Staged(teacher, ends)], (1, 8, 8), attention_transfer=1000.0, hints=1.0
    )
    regressor = module.features.regressors[0].weight
    before = regressor.detach().clone()
    logged: list[dict[str, float]] = []

    class First(pl.Callback):
        def on_train_batch_end(
            self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_index: int
        ) -> None:
            logged.append({name: float(value) for name, value in trainer.callback_metrics.items()})

    run(module, callback=First())
    parts = {name: value for name, value in logged[0].items() if name.startswith("loss/")}
    assert set(parts) == {"loss/kd", "loss/attention_transfer", "loss/hints"}
    assert parts["loss/kd"] == pytest.approx(plain, rel=1e-5)
    assert logged[0]["loss"] == pytest.approx(sum(parts.values()), rel=1e-5)
    assert all(value > 0 for value in parts.values())
    assert not torch.equal(regressor, before)
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert not any(part._forward_hooks for net in (module.network, teacher) for part in net.modules())
