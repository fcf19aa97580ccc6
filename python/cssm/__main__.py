"""`python -m cssm`: see `cssm.cli`."""

import sys

from cssm.cli import main

if __name__ == "__main__":
    sys.exit(main())
