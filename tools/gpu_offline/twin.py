"""The twin: the CUDA kernels and handlers of spectral_scan, built for the CPU, and the GPU it pretends to be."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import jax

REPOSITORY = Path(__file__).resolve().parents[2]
TARGETS = ("cssm_cuda_spectral_scan_forward", "cssm_cuda_spectral_scan_backward")
# Shared memory of a block and of a multiprocessor, in KiB.
GPUS = {"A100": (163, 164), "H100": (227, 228), "B200": (227, 228), "RTX 5090": (99, 100)}


class Buffer(ctypes.Structure):
    """An operand, result or scratch of the call."""

    _fields_ = [("data", ctypes.c_void_p), ("bytes", ctypes.c_size_t), ("writable", ctypes.c_int)]


LaunchHook = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.POINTER(ctypes.c_uint * 3),
    ctypes.POINTER(ctypes.c_uint * 3),
    ctypes.c_size_t,
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.POINTER(Buffer),
    ctypes.c_size_t,
)


class Twin:
    """The loaded library; `handlers` as the real module has them."""

    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(str(path))
        self.set_gpu("H100")

    def handlers(self) -> dict[str, object]:
        """FFI handlers by target."""
        return {name: jax.ffi.pycapsule(getattr(self._library, name)) for name in TARGETS}

    def set_gpu(self, name: str) -> None:
        """Be as large as this one."""
        self.set_shared_memory(*(kib << 10 for kib in GPUS[name]))

    def set_shared_memory(self, per_block: int, per_multiprocessor: int) -> None:
        """In bytes."""
        setter = self._library.cssm_twin_set_shared_memory
        setter(ctypes.c_size_t(per_block), ctypes.c_size_t(per_multiprocessor))

    def set_last_thread_first(self, yes: bool) -> None:
        """In which order the threads of a block take their turns between barriers."""
        self._library.cssm_twin_set_last_thread_first(int(yes))

    @contextlib.contextmanager
    def launch_hook(self, hook: Callable[..., int]) -> Iterator[None]:
        """Have `hook` run the kernels: it returns 0 where it did."""
        callback = LaunchHook(hook)
        self._library.cssm_twin_set_launch_hook(callback)
        try:
            yield
        finally:
            self._library.cssm_twin_set_launch_hook(None)


def cache_folder(name: str) -> Path:
    """A folder that lives as long as the machine's temporary files, of this user alone."""
    folder = Path(tempfile.gettempdir()) / f"cssm-gpu-offline-{os.getuid()}" / name
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def source_hash(*more: str) -> str:
    """Of all native code and of `more`."""
    digest = hashlib.sha256("\0".join(more).encode())
    for path in sorted([REPOSITORY / "CMakeLists.txt", *(REPOSITORY / "csrc").rglob("*")]):
        if path.is_file():
            digest.update(str(path.relative_to(REPOSITORY)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process at a time."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# As a GPU does, with products and sums in one rounding.
_FLAGS = "-O1 -fexpensive-optimizations -march=native"


def build(source: Path, folder: Path) -> Path:
    """The twin of the sources in `source`, made by CMake in `folder`."""
    cmake, ninja = (Path(sys.executable).with_name(name) for name in ("cmake", "ninja"))  # of the test extra
    configure = [
        *(cmake, "-S", source, "-B", folder, "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}", "-DCMAKE_BUILD_TYPE="),
        *("-DCSSM_PYTHON=OFF", "-DCSSM_GPU_OFFLINE=ON", f"-DCSSM_FFI_INCLUDE_DIR={jax.ffi.include_dir()}"),
        f"-DCMAKE_CXX_FLAGS={_FLAGS}",
    ]
    for command in (configure, [cmake, "--build", folder, "--target", "cssm_cuda_twin"]):
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "csrc/cuda/libcssm_cuda_twin.so"


def built() -> Path:
    """The twin of the repository; built once for each state of the native code."""
    if given := os.environ.get("CSSM_CUDA_TWIN"):
        return Path(given)
    with locked(cache_folder("twin")):
        library = cache_folder("twin") / f"{source_hash(_FLAGS)}.so"
        if not library.exists():
            checkout = hashlib.sha256(str(REPOSITORY).encode()).hexdigest()[:16]  # CMake's folders know their source
            made = build(REPOSITORY, cache_folder(f"twin-build-{checkout}"))
            shutil.copy(made, library.with_suffix(".part"))
            library.with_suffix(".part").rename(library)
    return library
