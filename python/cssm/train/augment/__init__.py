"""Augmentations of images on the device: pure functions of a key and a batch (B, H, W, 3), float32 in [0, 1].

Source: training specification 11.3.
"""
