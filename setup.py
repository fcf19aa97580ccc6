"""Drives CMake through scikit-build-core's setuptools plugin; everything static is in pyproject.toml."""

import os
import shutil

from setuptools import find_packages, setup

COMPILERS = ("c++", "g++", "clang++", "cl")

if not (os.environ.get("CXX") or any(map(shutil.which, COMPILERS))):
    raise SystemExit(
        "cssm-kernels: no C++ compiler found (looked for $CXX, "
        + ", ".join(COMPILERS)
        + "). The native kernels need one with C++17: install `g++` (Debian/Ubuntu: apt-get install g++; "
        "Fedora: dnf install gcc-c++; macOS: xcode-select --install), or set CXX, and install again."
    )

setup(
    cmake_source_dir=".",
    packages=[
        *find_packages(include=["cssm_kernels", "cssm_kernels.*"]),
        *find_packages("python"),
        "cssm.sweep.grids",  # of data alone
    ],
    package_dir={"": ".", "cssm": "python/cssm"},
    package_data={"cssm_kernels": ["py.typed"], "cssm": ["py.typed"], "cssm.sweep.grids": ["*.yaml"]},
)
