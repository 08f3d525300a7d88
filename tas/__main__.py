"""`python -m tas COMMAND ...`, where the installed command is not on the path."""

import sys

from tas.cli import main

if __name__ == "__main__":
    sys.exit(main())
