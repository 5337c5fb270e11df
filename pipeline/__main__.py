"""``python -m mammo.pipeline``: the command line that both Swin papers published."""

import sys

from .published import main

if __name__ == "__main__":
    sys.exit(main())
