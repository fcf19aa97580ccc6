"""`python src/training/train_imagenet.py`: the published name of `cssm train-imagenet`."""

import sys

from cssm.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "train-imagenet")
    sys.exit(main())
