"""`python -m asr_node` is `asr-node`."""

import sys

from asr_node.cli import main

if __name__ == "__main__":
    sys.exit(main())
