"""Triton kernels inside JAX programs: what every operation's `triton.py` shares.

jax-triton is an optional dependency (`pip install cssm-kernels[triton]`), imported only when a kernel is asked for.
"""

from cssm_kernels._triton.call import ABSENT, available, load, triton_call
from cssm_kernels._triton.lanes import Lanes, lanes_of

__all__ = ["ABSENT", "Lanes", "available", "lanes_of", "load", "triton_call"]
