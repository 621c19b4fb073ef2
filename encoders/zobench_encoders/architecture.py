"""The compact vision transformer behind ``vit-mae``: 224x224, patch 16, one channel, built with timm."""

from __future__ import annotations

from timm.models.vision_transformer import VisionTransformer

IMAGE_SIZE = 224
PATCH_SIZE = 16
GRID = IMAGE_SIZE // PATCH_SIZE
EMBEDDING = 128
PIXEL_MEAN = (0.55,)
PIXEL_STD = (0.25,)


def compact_vit() -> VisionTransformer:
    """Three blocks of width 128 with four heads; the embedding is the mean over the patch tokens."""
    return VisionTransformer(
        img_size=IMAGE_SIZE,
        patch_size=PATCH_SIZE,
        in_chans=1,
        num_classes=0,
        embed_dim=EMBEDDING,
        depth=3,
        num_heads=4,
        class_token=False,
        global_pool="avg",
    )
