"""A layer inside a flax.nnx model: `python examples/nnx_bridge.py`.

The layers are linen modules. `nnx.bridge.ToNNX` makes an nnx module of one, whose parameters are nnx variables as any.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from cssm import VideoBlock
from flax import nnx
from jax import Array


class Classifier(nnx.Module):
    """An nnx model: a linear map, a video block of this package, a linear map."""

    def __init__(self, features: int, classes: int, example: Array, rngs: nnx.Rngs) -> None:
        self.embed = nnx.Linear(example.shape[-1], features, rngs=rngs)
        self.block = nnx.bridge.ToNNX(VideoBlock(cssm_type="gated"), rngs=rngs)
        nnx.bridge.lazy_init(self.block, self.embed(example))
        self.head = nnx.Linear(features, classes, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """(B, T, H, W, C) -> (B, classes)."""
        return self.head(self.block(self.embed(x))[:, -1].mean(axis=(1, 2)))


def main() -> None:
    """A gradient through the model, and how large it is in the layer's kernel."""
    x = jax.random.normal(jax.random.key(0), (2, 4, 8, 8, 3))
    model = Classifier(16, 10, x, nnx.Rngs(0))
    loss, grads = nnx.value_and_grad(lambda model: jnp.mean(model(x) ** 2))(model)
    state = nnx.to_pure_dict(nnx.state(grads))
    kernel = state["block"]["mixer"]["kernel"]
    print(f"loss {loss:.4f}; gradient of the spatial kernel {kernel.shape}, norm {jnp.linalg.norm(kernel):.2e}")


if __name__ == "__main__":
    main()
