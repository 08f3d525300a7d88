from collections.abc import Iterator

import pytest
import torch

from tas.config.groups import Machine
from tas.training.trainer import open_trainer


@pytest.fixture
def as_before() -> Iterator[None]:
    """Torch takes what algorithms it likes afterwards."""
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("deterministic", [False, True])
def test_deterministic_reaches_torch(deterministic: bool, as_before: None) -> None:
    open_trainer(Machine(deterministic=deterministic), 1, logger=False, enable_checkpointing=False)
    assert torch.are_deterministic_algorithms_enabled() is deterministic
