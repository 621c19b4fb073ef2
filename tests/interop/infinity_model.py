"""Writes a small CLIP with random weights or embeds images with it; runs in Infinity's environment.

python infinity_model.py FOLDER                      writes the model
python infinity_model.py FOLDER PICTURES OUT.npy     embeds the PNG files of a folder with it
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPTokenizer,
)

SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}


def write(folder: Path) -> None:
    torch.manual_seed(0)
    vocabulary = ["<|startoftext|>", "<|endoftext|>", "a", "a</w>", "b", "b</w>"]
    (folder / "vocab.json").write_text(json.dumps({each: i for i, each in enumerate(vocabulary)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    config = CLIPConfig(
        text_config={
            **SMALL,
            "num_attention_heads": 4,
            "vocab_size": len(vocabulary),
            "bos_token_id": 0,
            "eos_token_id": 1,
            "pad_token_id": 1,
        },
        vision_config={**SMALL, "num_attention_heads": 4, "image_size": 224, "patch_size": 32},
        projection_dim=32,
    )
    CLIPModel(config).save_pretrained(folder)
    CLIPProcessor(CLIPImageProcessor(), tokenizer).save_pretrained(folder)


def embed(folder: Path, pictures: Path, out: Path) -> None:
    model = CLIPModel.from_pretrained(folder).eval()
    processor = CLIPProcessor.from_pretrained(folder)
    films = [Image.open(path).convert("RGB") for path in sorted(pictures.glob("*.png"))]
    with torch.no_grad():
        found = model.get_image_features(**processor(images=films, return_tensors="pt"))
    found = getattr(found, "pooler_output", found)
    np.save(out, torch.nn.functional.normalize(found, dim=-1).numpy())


if len(sys.argv) == 2:
    write(Path(sys.argv[1]))
else:
    embed(*map(Path, sys.argv[1:]))
