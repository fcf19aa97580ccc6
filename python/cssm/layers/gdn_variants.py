"""The registry keys that are `GatedDeltaNetCSSM` with other defaults."""

from __future__ import annotations

from cssm.layers.gdn import GatedDeltaNetCSSM


class GatedDeltaNetD2CSSM(GatedDeltaNetCSSM):
    """`GatedDeltaNetCSSM` with keys of two components, registry key `gdn_d2`."""

    delta_key_dim: int = 2


class GatedDeltaNetD3CSSM(GatedDeltaNetCSSM):
    """`GatedDeltaNetCSSM` with keys of three components, registry key `gdn_d3`."""

    delta_key_dim: int = 3


class GatedDeltaNetSpectralCSSM(GatedDeltaNetCSSM):
    """`GatedDeltaNetCSSM` with spectral attention, registry key `gdn_int`."""

    int_attention_mode: str = "spectral"


class GatedDeltaNetElementwiseCSSM(GatedDeltaNetCSSM):
    """`GatedDeltaNetCSSM` with attention a pixel, registry key `gdn_int_elem`."""

    int_attention_mode: str = "elementwise"


class GatedDeltaNetQueryKeyCSSM(GatedDeltaNetCSSM):
    """`GatedDeltaNetCSSM` with attention from queries and keys, registry key `gdn_int_qk`."""

    int_attention_mode: str = "qk"
