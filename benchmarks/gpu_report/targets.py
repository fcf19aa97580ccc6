"""The GPUs programs are compiled for, as XLA describes them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """Attributes: capability: 10 x major + minor; bandwidth: of memory, bytes a second."""

    name: str
    capability: int
    multiprocessors: int
    bandwidth: float
    memory: int
    l2_cache: int
    clock_ghz: float
    description: str

    def target_config(self) -> str:
        """XLA's GpuTargetConfigProto, as text."""
        return f"""
gpu_device_info {{
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_core: 233472
  threads_per_core_limit: 2048
  core_count: {self.multiprocessors}
  fpus_per_core: 128
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  memory_bandwidth: {int(self.bandwidth)}
  l2_cache_size: {self.l2_cache}
  clock_rate_ghz: {self.clock_ghz}
  device_memory_size: {self.memory}
  shared_memory_per_block_optin: 232448
  cuda_compute_capability {{ major: {self.capability // 10} minor: {self.capability % 10} }}
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 12 }}
runtime_version {{ major: 13 minor: 0 }}
device_description_str: "{self.description}"
"""


H100 = Gpu("H100", 90, 132, 3.35e12, 84_978_434_048, 52_428_800, 1.98, "NVIDIA H100 80GB HBM3")
H200 = Gpu("H200", 90, 132, 4.8e12, 150_754_820_096, 52_428_800, 1.98, "NVIDIA H200")
B200 = Gpu("B200", 100, 148, 7.67e12, 191_514_411_008, 132_644_864, 1.965, "NVIDIA B200")
GPUS = (H100, H200, B200)
