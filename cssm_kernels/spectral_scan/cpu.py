"""Calls of the native CPU handlers (csrc/cpu/spectral_scan_ffi.cc)."""

from __future__ import annotations

import functools

from cssm_kernels.spectral_scan import handlers

forward = functools.partial(handlers.forward, "cssm_spectral_scan_forward")
backward = functools.partial(handlers.backward, "cssm_spectral_scan_backward")
