"""Gated delta rule: a recurrence of matrices whose transitions are never formed."""

from cssm_kernels.delta_scan.op import delta_scan

__all__ = ["delta_scan"]
