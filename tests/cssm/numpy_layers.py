"""The layers once more, in float64 NumPy, from the formulas of the specification: loops over time, taps and np.roll."""

from __future__ import annotations

import numpy as np

RHO = 0.999


def embed(k, height, width):
    """P_{H,W}: centred zero-padding or central crop, axis by axis."""
    out = k
    for axis, length in ((1, height), (2, width)):
        size = out.shape[axis]
        if size <= length:
            before = (length - size) // 2
            widths = [(0, 0)] * 3
            widths[axis] = (before, length - size - before)
            out = np.pad(out, widths)
        else:
            start = (size - length) // 2
            out = out.take(range(start, start + length), axis=axis)
    return out


def kappa(k_image, rho=RHO):
    z = np.fft.rfft2(k_image)
    return rho * z / (1 + abs(z))


def channels_first(x):
    return np.moveaxis(np.asarray(x, np.float64), -1, 2)


def delta(params, states, x, residual=False):
    """out_proj(S) - x from channels-first states."""
    dense = params["out_proj"]
    o = np.moveaxis(states, 2, -1) @ dense["kernel"] + dense["bias"]
    return o if residual else o - x


def recurrence(step, x):
    """S_t = step(S_{t-1}, x_t) over axis 1 of (B, T, ...)."""
    s, states = np.zeros_like(x[:, 0]), []
    for t in range(x.shape[1]):
        s = step(s, x[:, t])
        states.append(s)
    return np.stack(states, 1)


def no_gate(params, x, origin_centred=False):
    u = channels_first(x)
    height, width = u.shape[-2:]
    image = embed(params["kernel"], height, width)
    if origin_centred:
        size = params["kernel"].shape[1]
        for axis, length in ((1, height), (2, width)):
            before = (length - size) // 2 if size <= length else -((size - length) // 2)
            image = np.roll(image, -(before + (size - 1) // 2), axis)
    k_hat = kappa(image)
    states = recurrence(lambda s, u_t: k_hat * s + u_t, np.fft.rfft2(u))
    return delta(params, np.fft.irfft2(states, s=(height, width)), x)


def convolve(k, s, offset=(0, 0)):
    """sum_{i,j} k[i, j] s[h - i + o_y, w - j + o_x] on a torus."""
    out = np.zeros_like(s)
    for i in range(k.shape[-2]):
        for j in range(k.shape[-1]):
            out += k[..., i, j][..., None, None] * np.roll(s, (i - offset[0], j - offset[1]), axis=(-2, -1))
    return out


def correlate_centred(k, s):
    """sum_j k[j] s[y + j - (K-1)//2] on a torus."""
    centres = [(size - 1) // 2 for size in k.shape[-2:]]
    out = np.zeros_like(s)
    for i in range(k.shape[-2]):
        for j in range(k.shape[-1]):
            out += k[..., i, j][..., None, None] * np.roll(s, (centres[0] - i, centres[1] - j), axis=(-2, -1))
    return out


def l2_normalised(k):
    return k * RHO / (np.sqrt((k**2).sum((1, 2), keepdims=True)) + 1e-8)


def apply_operator(k, s, variant):
    return convolve(k[..., ::-1, ::-1], s) if variant == "embedded" else correlate_centred(k, s)


def realspace_seq(params, x, variant):
    u = channels_first(x)
    kernel = params["kernel"]
    k = l2_normalised(embed(kernel, *u.shape[-2:]) if variant == "embedded" else kernel)
    return delta(params, recurrence(lambda s, u_t: apply_operator(k, s + u_t, variant), u), x)


def realspace_par_published(params, x, variant):
    """The published combiner in the order in which `jax.lax.associative_scan` pairs its operands."""
    u = channels_first(x)
    k = l2_normalised(embed(params["kernel"], *u.shape[-2:]))

    def combine(earlier, later):
        return apply_operator(later[0], earlier[0], variant), apply_operator(later[0], earlier[1], variant) + later[1]

    def prefixes(elements):
        if len(elements) < 2:
            return elements
        odd = prefixes([combine(a, b) for a, b in zip(elements[:-1:2], elements[1::2])])
        even = [elements[0]] + [combine(a, b) for a, b in zip(odd, elements[2::2])]
        return [pair[i % 2][i // 2] for i, pair in enumerate([(even, odd)] * len(elements))]

    elements = [(k, apply_operator(k, u[:, t], variant)) for t in range(u.shape[1])]
    return delta(params, np.stack([b for _, b in prefixes(elements)], 1), x)


def realspace_compact(params, x):
    kernel = params["kernel"]
    k = RHO * kernel / (abs(kernel).sum((1, 2), keepdims=True) + 1e-8)
    centre = (kernel.shape[1] - 1) // 2
    return delta(params, recurrence(lambda s, u_t: convolve(k, s, (centre, centre)) + u_t, channels_first(x)), x)


def direct_conv(params, x):
    kernel, bias = params["spatial_conv"]["kernel"], params["spatial_conv"]["bias"]
    size = kernel.shape[0]
    before = (size - 1) // 2
    x = np.asarray(x, np.float64)
    height, width = x.shape[2:4]
    padded = np.pad(x, [(0, 0), (0, 0), (before, size - 1 - before), (before, size - 1 - before), (0, 0)])
    y = bias + sum(
        kernel[i, j, 0] * padded[:, :, i : i + height, j : j + width] for i in range(size) for j in range(size)
    )
    a = RHO * np.tanh(params["a_logit"])
    return delta(params, np.moveaxis(recurrence(lambda s, y_t: a * s + y_t, y), -1, 2), x)
