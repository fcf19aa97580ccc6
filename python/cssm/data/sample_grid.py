"""A picture of samples of both labels; of clips, frames from the first to the last."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cssm.data.inspect import Samples

_ROWS, _COLUMNS = 6, 8


def draw_grid(samples: Samples, png: Path) -> None:
    """Rows of images, or a clip a row, labels in turn; needs matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = samples.frames.shape[1]
    columns = min(_COLUMNS, count) if count > 1 else _COLUMNS
    wanted = _ROWS if count > 1 else _ROWS * columns
    by_label = [np.flatnonzero(samples.label == k)[: (wanted + 1) // 2] for k in (0, 1)]
    order = np.concatenate(by_label)[np.argsort(np.concatenate([np.arange(len(at)) for at in by_label]), kind="stable")]
    if count > 1:
        at = np.rint(np.linspace(0, count - 1, columns)).astype(int)
        shown = [(samples.frames[i, f], f"{samples.label[i]}, frame {f}") for i in order for f in at]
    else:
        shown = [(samples.frames[i, 0], str(samples.label[i])) for i in order]
    figure = Figure(figsize=(1.5 * columns, 1.7 * -(-len(shown) // columns)), layout="constrained")
    axes = figure.subplots(-(-len(shown) // columns), columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, (image, title) in zip(axes, shown):
        axis.imshow(image if image.shape[-1] == 3 else image[..., 0], cmap="gray", vmin=0, vmax=255)
        axis.set_title(title, fontsize=7)
    FigureCanvasAgg(figure).print_png(png)
