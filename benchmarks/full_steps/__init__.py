"""The published training steps at their full size: run here with a smaller batch, compiled for GPUs that are not here."""
