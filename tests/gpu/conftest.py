"""The shared tests on a GPU. Without one they are skipped, or fail where CSSM_REQUIRE_GPU=1 says that there is one."""

from __future__ import annotations

import os

import pytest

from tests.gpu import device


@pytest.fixture(autouse=True)
def gpu() -> None:
    """Every test here needs one."""
    problem = device.missing()
    if problem and os.environ.get("CSSM_REQUIRE_GPU") == "1":
        pytest.fail(f"{problem} (CSSM_REQUIRE_GPU is 1)", pytrace=False)
    if problem:
        pytest.skip(problem)
