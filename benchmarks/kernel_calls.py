"""Which kernels of this library a compiled program calls."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

TRITON = "triton_kernel_call"


def kernel_calls(program: Any) -> Counter[str]:
    """Custom-call targets of ours in a compiled program, counted. Empty where it is all XLA's."""
    targets = re.findall(r'custom_call_target="([^"]+)"', program.as_text())
    return Counter(sorted(target for target in targets if target.startswith("cssm_") or target == TRITON))
