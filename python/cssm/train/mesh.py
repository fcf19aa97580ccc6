"""Where arrays of a training run live: batches over the devices, parameters on each or in parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

SHARDINGS = ("replicated", "fsdp")
# A smaller leaf costs more to gather than to keep.
LEAST_PARTED = 2**14


def data_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """All devices of all processes in one axis, `data`."""
    return Mesh(np.asarray(jax.devices() if devices is None else devices), ("data",))


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Samples over the devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def state_sharding(mesh: Mesh, state: Any, how: str = "replicated") -> Any:
    """A sharding for each leaf of a state (arrays or their types).

    Args:
      how: replicated, on every device; or fsdp, every leaf of 16,384 elements and more cut along its largest dimension that
        the devices divide: parameters, moments and averages alike.

    Raises:
      ValueError: an unknown `how`.
    """
    if how not in SHARDINGS:
        raise ValueError(f"param_sharding: got {how!r}, expected one of {', '.join(SHARDINGS)}")
    parts = mesh.devices.size

    def spec(leaf: Any) -> NamedSharding:
        fitting = [axis for axis, size in enumerate(leaf.shape) if size % parts == 0]
        if how == "replicated" or leaf.size < LEAST_PARTED or not fitting:
            return NamedSharding(mesh, PartitionSpec())
        axis = max(fitting, key=lambda axis: leaf.shape[axis])
        return NamedSharding(mesh, PartitionSpec(*[None] * axis, "data"))

    return jax.tree.map(spec, state)


def place(sharding: NamedSharding, batch: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
    """The batch of all processes, of which each gives the samples of its own devices."""
    return {name: jax.make_array_from_process_local_data(sharding, value) for name, value in batch.items()}


def join(coordinator: str | None, processes: int | None, index: int | None) -> None:
    """Join the processes of one run; nothing where there is but this one.

    Raises:
      ValueError: some of the three are given, and others are not.
    """
    given = [value is not None for value in (coordinator, processes, index)]
    if not any(given):
        return
    if not all(given):
        raise ValueError(
            f"coordinator, num_processes, process_id: got {coordinator!r}, {processes!r}, {index!r}, expected all or none"
        )
    jax.distributed.initialize(coordinator, processes, index)
