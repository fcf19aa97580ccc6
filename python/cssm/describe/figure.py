"""The picture of a layer: the spectra of its kernels, and its effective receptive field over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import matplotlib
import numpy as np
from matplotlib.figure import Figure, SubFigure

from cssm.describe.receptive_field import receptive_field
from cssm.describe.spectra import frequency_axes, parameter_spectra
from cssm.describe.subject import Subject

_MOST_LAGS = 8
_DECADES = 6
NO_SPECTRUM = "No transition spectrum:\nthis layer makes no spectrum over (H, W)\nof its parameters alone"


class Spectrum(NamedTuple):
    """|k_hat| (H, W // 2 + 1) where it enters a stage: its mean over channels, and its largest value."""

    stage: str
    mean: np.ndarray
    largest: np.ndarray


def draw(subject: Subject, seed: int, path: Path) -> None:
    """Writes the picture of a layer, with initial parameters and an N(1) input of one video, both of this seed."""
    key, of_input = jax.random.split(jax.random.key(seed))
    x = jax.random.normal(of_input, (1, *subject.x.shape[1:]), subject.x.dtype)
    variables = jax.jit(subject.module.init)(key, x)
    spectra = moduli(
        parameter_spectra(subject.apply, variables, x, root=type(subject.module).__name__),
        (x.shape[2], x.shape[3] // 2 + 1),
    )
    field = np.asarray(receptive_field(subject.apply, variables, x))
    with matplotlib.rc_context({"font.size": 8, "axes.titlesize": 8}):
        picture(subject.title, spectra, field).savefig(path, format="png", dpi=150)


def moduli(spectra: Sequence[tuple[str, jax.Array]], size: tuple[int, int]) -> list[Spectrum]:
    """What is drawn of spectra with adjoining axes of these sizes; neither zeros nor the same spectrum twice."""
    found: list[Spectrum] = []
    for stage, value in spectra:
        modulus = np.abs(np.asarray(value))
        frequencies = frequency_axes(modulus.shape, size)
        others = tuple(axis for axis in range(modulus.ndim) if frequencies is None or axis not in frequencies)
        mean, largest = modulus.mean(others), modulus.max(others)
        if largest.any() and not any(np.array_equal(mean, drawn.mean) for drawn in found):
            found.append(Spectrum(stage, mean, largest))
    return found


def picture(title: str, spectra: Sequence[Spectrum], field: np.ndarray) -> Figure:
    """The spectra, the energy of the receptive field (T, H, W) over lags, and its maps."""
    panels = 2 * len(spectra) or 2
    figure = Figure(figsize=(max(10, 5 + 2.2 * panels), 5.2), layout="constrained")
    frames, height, width = field.shape
    figure.suptitle(f"{title}: initial parameters, {frames} frames of {height} x {width}")
    top, bottom = np.asarray(figure.subfigures(2, 1, height_ratios=(1.4, 1)))
    left, right = np.asarray(top.subfigures(1, 2, width_ratios=(panels, 2)))
    _draw_spectra(left, spectra)
    _draw_energy(right, field)
    _draw_maps(bottom, field)
    return figure


def _draw_spectra(figure: SubFigure, spectra: Sequence[Spectrum]) -> None:
    if not spectra:
        figure.text(0.5, 0.5, NO_SPECTRUM, ha="center", va="center")
        return
    panels = iter(figure.subplots(1, 2 * len(spectra), squeeze=False)[0])
    for stage, *images in spectra:
        for name, image in zip(("mean", "largest"), images):
            height, columns = image.shape
            lowest = -(height // 2) - 0.5
            panel = next(panels)
            shown = panel.imshow(
                np.fft.fftshift(image, axes=0),
                extent=(-0.5, columns - 0.5, lowest + height, lowest),
                interpolation="nearest",
            )
            panel.set(
                title=f"|k_hat| in {stage}\n{name} over channels", xlabel="cycles along W", ylabel="cycles along H"
            )
            figure.colorbar(shown, ax=panel)


def _draw_energy(figure: SubFigure, field: np.ndarray) -> None:
    energy = (field[::-1] ** 2).sum((1, 2))
    panel = figure.subplots()
    panel.plot(np.where(energy > 0, energy, np.nan), "o-")
    panel.set(title="energy of the receptive field: sum of squares", xlabel="lag, frames")
    if (energy > 0).any():
        panel.set_yscale("log")


def _draw_maps(figure: SubFigure, field: np.ndarray) -> None:
    figure.suptitle("|d y[T-1, centre] / d x[T-1-lag]|, log10, relative to the largest")
    lags = np.unique(np.linspace(0, len(field) - 1, min(_MOST_LAGS, len(field))).round().astype(int))
    largest = field.max() or 1.0
    panels = figure.subplots(1, len(lags), squeeze=False)[0]
    for panel, lag in zip(panels, lags):
        relative = np.maximum(field[len(field) - 1 - lag] / largest, 10.0**-_DECADES)
        shown = panel.imshow(np.log10(relative), vmin=-_DECADES, vmax=0, cmap="magma", interpolation="nearest")
        panel.set(title=f"lag {lag}", xticks=[], yticks=[])
    figure.colorbar(shown, ax=list(panels))
