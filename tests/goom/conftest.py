"""Sums that cancel exactly, and real numbers that stay real: whether XLA contracts multiply-adds decides both."""

import pytest


@pytest.fixture(autouse=True, scope="module")
def as_users_compile(optimised):
    """For all tests of the folder."""
