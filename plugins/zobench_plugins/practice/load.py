"""Uses what zobench found; needs numpy and Pillow.

image = prepare("film.png")  # send this to the encoder: float32 (C, H, W)
risk = disease(embedding)  # from the embedding that comes back: P(finding)
guess = sensitive(embedding)  # P(second group), from an embedding without the edit
"""

import json
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageOps

HERE = Path(__file__).parent
FORM = json.loads((HERE / "bundle.json").read_text(encoding="utf-8"))["preprocessing"]
EDIT, HEADS = np.load(HERE / "edit.npy"), np.load(HERE / "heads.npz")


def prepare(path: str | Path, edited: bool = True) -> NDArray[np.float32]:
    """The picture of a PNG, JPEG or TIFF file in the encoder's size, with the edit."""
    image: Image.Image = Image.open(path)
    if getattr(image, "n_frames", 1) > 1:
        raise ValueError(f"{path} has several pages")
    upright = image.size if image.format == "TIFF" else None
    ImageOps.exif_transpose(image, in_place=True)
    if upright not in (None, image.size):
        raise ValueError(f"{path} is stored sideways in a way that Pillow misreads")
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_eight_bits(image))
    elif _stored_bits(image, Path(path)) > 8:
        raise ValueError(f"{path} has more than 8 bits in colour, which Pillow would cut")
    elif "A" in image.mode or "transparency" in image.info:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            raise ValueError(f"{path} has transparent pixels")
    image = image.convert("L" if FORM["channels"] == 1 else "RGB")
    levels = np.asarray(image.resize((FORM["size"], FORM["size"]), Image.Resampling.LANCZOS))
    planes = levels[None] if levels.ndim == 2 else np.moveaxis(levels, 2, 0)
    sent = planes.astype(np.float32) / 255 + (EDIT if edited else 0)
    sent = np.repeat(sent, FORM["sent_channels"] // len(sent), axis=0)
    return np.rint(255 * sent.clip(0, 1)).astype(np.float32) / 255 if FORM["bits"] else sent


def _eight_bits(image: Image.Image) -> NDArray[np.uint8]:
    clear = image.info.get("transparency")
    if clear is not None and (np.asarray(image) == clear).any():
        raise ValueError("transparent pixels")
    if not FORM["window"]:
        raise ValueError("more than 8 bits, and the run names no window: zobench apply --as-sent")
    low, high = FORM["window"]
    share = (np.asarray(image, dtype=np.float64) - low) / (high - low)
    levels = np.rint(255 * share.clip(0, 1)).astype(np.uint8)
    white_is_zero = image.format == "TIFF" and image.tag_v2.get(262) == 0  # type: ignore[attr-defined]
    return np.asarray(255 - levels if white_is_zero else levels)


def _stored_bits(image: Image.Image, path: Path) -> int:
    if image.format == "PNG":
        return path.read_bytes()[24]
    tag = image.tag_v2.get(258) if image.format == "TIFF" else None  # type: ignore[attr-defined]
    return int(np.ravel(tag or 8)[0])


def disease(embeddings: ArrayLike) -> NDArray[np.float64]:
    """Probability of the finding for embeddings ``(..., D)`` of images with the edit."""
    return _positive(embeddings, "disease")


def sensitive(embeddings: ArrayLike) -> NDArray[np.float64]:
    """Probability of the second group for embeddings ``(..., D)`` of images without the edit."""
    return _positive(embeddings, "sensitive")


def _positive(embeddings: ArrayLike, head: str) -> NDArray[np.float64]:
    weight, bias = HEADS[f"{head}_weight"], HEADS[f"{head}_bias"]
    logits = np.asarray(embeddings, dtype=np.float64) @ weight.T + bias
    return np.asarray(1 / (1 + np.exp(logits[..., 0] - logits[..., 1])))
