"""`python main.py`: the published name of `cssm train`."""

import sys

from cssm.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "train")
    sys.exit(main())
