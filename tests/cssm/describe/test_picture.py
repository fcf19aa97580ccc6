"""Spectra, receptive fields and the figure made of them."""

from __future__ import annotations

import jax.numpy as jnp
import matplotlib.image
import numpy as np
from cssm.describe.figure import NO_SPECTRUM, draw, moduli, picture
from cssm.describe.receptive_field import receptive_field
from cssm.describe.spectra import parameter_spectra
from cssm.describe.subject import layer
from cssm.nn.kernels import spectral_transition
from matplotlib.text import Text

from tests.cssm.checks import assert_close, initialise, jit, random_variables


def test_spectra_are_those_of_the_kernel():
    subject = layer("no_gate", (1, 2, 4, 6, 3), {"kernel_size": 3})
    variables = initialise(subject.module, jnp.ones(subject.x.shape))
    ((stage, k_hat),) = parameter_spectra(subject.apply, variables, subject.x, root="NoGateCSSM")
    assert stage == "out_proj/spectral_scan"
    expected = spectral_transition(variables["params"]["kernel"], 4, 6, 0.999)
    assert_close(k_hat.reshape(4, 4, 3), jnp.moveaxis(expected, 0, -1))
    (drawn,) = moduli([(stage, k_hat), ("again", k_hat), ("zeros", 0 * k_hat)], (4, 4))
    assert_close(drawn.mean, np.abs(expected).mean(0))
    assert_close(drawn.largest, np.abs(expected).max(0))


def test_receptive_field_of_a_linear_layer_is_its_response_to_impulses():
    shape = (1, 3, 3, 4, 2)
    layer_ = layer("no_gate", shape, {"kernel_size": 3}).module
    variables = random_variables(layer_, jnp.ones(shape))
    field = receptive_field(layer_.apply, variables, jnp.ones(shape))
    impulses = jnp.eye(72).reshape(72, *shape[1:])
    responses = jit(lambda x: layer_.apply(variables, x) - layer_.apply(variables, 0 * x))(impulses)
    at_centre = responses[:, -1, 1, 2].reshape(*shape[1:], 2)
    assert_close(field, np.sqrt((np.asarray(at_centre) ** 2).sum((-2, -1))))


def test_png_is_drawn(tmp_path):
    path = tmp_path / "gated.png"
    draw(layer("gated", (2, 3, 4, 5, 2), {"kernel_size": 3}), 0, path)
    pixels = matplotlib.image.imread(path)[..., :3]
    top, bottom = np.array_split(pixels, 2)
    for part in (*np.array_split(top, 3, axis=1), bottom):  # two spectra, the energy, the maps
        assert len(np.unique(part.reshape(-1, 3), axis=0)) > 20


def test_every_panel_shows_something():
    rng = np.random.default_rng(0)
    spectra = moduli(
        [("a", jnp.asarray(rng.normal(size=(4, 3, 2)))), ("b", jnp.asarray(rng.normal(size=(4, 3))))], (4, 3)
    )
    figure = picture("title", spectra, np.abs(rng.normal(size=(12, 4, 5))))
    images = [panel.get_images()[0].get_array() for panel in figure.get_axes() if panel.get_images()]
    assert len(images) == 4 + 8
    assert all(np.ptp(image) > 0 for image in images)


def test_without_a_spectrum_the_figure_says_so():
    subject = layer("direct_conv_seq", (1, 2, 4, 4, 2), {"kernel_size": 3})
    variables = initialise(subject.module, jnp.ones(subject.x.shape))
    assert parameter_spectra(subject.apply, variables, subject.x) == []
    figure = picture("title", [], np.ones((1, 4, 4)))
    assert NO_SPECTRUM in [text.get_text() for text in figure.findobj(Text)]
