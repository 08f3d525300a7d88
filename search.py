"""Find a smaller network: `python search.py --help`."""

import sys

from tas.cli import main

if __name__ == "__main__":
    sys.exit(main(["search", *sys.argv[1:]]))
