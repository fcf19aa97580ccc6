"""Models built of the layers, and blocks for other models."""

from cssm.models.baseline_vit import BaselineViT
from cssm.models.recurrent_block import RecurrentBlock
from cssm.models.shvit import CSSMSHViT
from cssm.models.simple import SimpleCSSM
from cssm.models.video_block import VideoBlock
from cssm.models.vit import CSSMViT

__all__ = ["BaselineViT", "CSSMSHViT", "CSSMViT", "RecurrentBlock", "SimpleCSSM", "VideoBlock"]
