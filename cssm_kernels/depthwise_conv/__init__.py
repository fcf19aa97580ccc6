"""Depthwise convolution over time, height and width of channels-last videos."""

from cssm_kernels.depthwise_conv.op import depthwise_conv

__all__ = ["depthwise_conv"]
