"""A worker process in which one series computes something wrong. Started by the tests."""

from __future__ import annotations

import os
from typing import Any

from benchmarks.mechanism import models, worker


def inject() -> None:
    """Break what the environment variables name: WRONG_LAYER and WRONG_MODEL hold the key of a series."""
    layer, forward = models.layer, models.forward

    class Wrong:
        def __init__(self, module: Any) -> None:
            self.init = module.init
            self.apply = lambda *arguments, **named: module.apply(*arguments, **named) * 1.01

    def wrong_layer(key: str, shape: Any) -> Any:
        module = layer(key, shape)
        return Wrong(module) if key == os.environ.get("WRONG_LAYER") else module

    def wrong_model(series: Any, shape: Any, options: Any) -> Any:
        apply = forward(series, shape, options)
        if series.key == os.environ.get("WRONG_MODEL"):
            return lambda params, images: apply(params, images) * 1.01
        return apply

    models.layer, models.forward = wrong_layer, wrong_model


if __name__ == "__main__":
    inject()
    worker.main()
