"""Published checkpoints, read into our models."""

from cssm.checkpoint.compare import CheckpointMismatch, Comparison, compare, fit
from cssm.checkpoint.reference import ReferenceCheckpoint, load_reference

__all__ = ["CheckpointMismatch", "Comparison", "ReferenceCheckpoint", "compare", "fit", "load_reference"]
