"""What torch.compile cannot do, said in a line."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tas.errors import TasError, gist


@contextmanager
def compiler_blamed() -> Iterator[None]:
    """TasError, naming --compile, in the place of what torch's compiler raises inside."""
    try:
        yield
    except Exception as error:
        # Imported by whoever compiles; to import it here would take seconds.
        dynamo = sys.modules.get("torch._dynamo.exc")
        if dynamo is None or not isinstance(error, dynamo.TorchDynamoException):
            raise
        raise TasError(f"--compile: torch.compile cannot do this here ({gist(error)})") from None
