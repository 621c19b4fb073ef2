"""The bundled networks' vision transformer is timm's, which is the reference here."""

from __future__ import annotations

import timm
import torch
from timm.layers.pos_embed_sincos import build_sincos2d_pos_embed
from zobench_encoders.vision_transformer import VisionTransformer, sines_and_cosines


def ours(depth: int = 2) -> VisionTransformer:
    return VisionTransformer(channels=3, grid=4, side=8, width=48, depth=depth, heads=4)


def reference(depth: int = 2) -> timm.models.VisionTransformer:
    return timm.models.VisionTransformer(
        img_size=32,
        patch_size=8,
        in_chans=3,
        num_classes=0,
        embed_dim=48,
        depth=depth,
        num_heads=4,
        class_token=False,
        global_pool="",
    )


def test_tokens_and_gradients_are_those_of_timm_to_the_last_bit() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = reference()
        for weights in network.parameters():  # biases and norms that are not 0 and 1
            torch.nn.init.normal_(weights, 0.1, 0.2)
        images = torch.rand(5, 3, 32, 32)
    rebuilt = ours()
    rebuilt.load_state_dict(network.state_dict())
    wanted_images, images = (images.clone().requires_grad_() for _ in range(2))
    wanted, tokens = network.forward_features(wanted_images), rebuilt(images)
    assert tokens.shape == (5, 16, 48)
    assert torch.equal(tokens, wanted)
    wanted.square().sum().backward()
    tokens.square().sum().backward()
    assert images.grad is not None
    assert wanted_images.grad is not None
    assert torch.equal(images.grad, wanted_images.grad)


def test_initial_weights_are_drawn_from_the_distributions_of_timm() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        drawn, wanted = ours(8).state_dict(), reference(8).state_dict()
    assert list(drawn) == list(wanted)
    for name in drawn:
        if name == "pos_embed":  # timm's are random
            continue
        spread = float(wanted[name].std())
        assert abs(float(drawn[name].std()) - spread) <= 0.2 * spread, name
        assert abs(float(drawn[name].mean() - wanted[name].mean())) <= 0.5 * spread, name


def test_position_embeddings_are_sines_and_cosines_of_row_and_column() -> None:
    wanted = build_sincos2d_pos_embed([14, 14], dim=128, interleave_sin_cos=False)
    assert torch.allclose(sines_and_cosines(14, 128), wanted, atol=1e-6, rtol=0)
    assert torch.equal(ours().pos_embed[0], sines_and_cosines(4, 48))
