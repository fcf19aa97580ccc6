"""`python -m benchmarks.mechanism`."""

from __future__ import annotations

import sys

from benchmarks.mechanism.driver import main

if __name__ == "__main__":
    sys.exit(main())
