"""The device and the precision of a local encoder, and checks that both exist and suffice."""

from __future__ import annotations

import torch
from torch import nn

from zobench.errors import ConfigError, EncoderError


def require_representable(module: nn.Module, dtype: torch.dtype, name: str) -> None:
    """Checks that no weight becomes 0 or infinite in a precision.

    Raises:
        EncoderError: A weight does; the message names it.
    """
    for key, value in module.state_dict().items():
        if not value.is_floating_point() or value.dtype == dtype:
            continue
        stored = value.to(dtype)
        if bool(((stored == 0) & (value != 0)).any()) or bool(
            (~torch.isfinite(stored) & torch.isfinite(value)).any()
        ):
            raise EncoderError(
                f"encoder {name}: weights in {key!r} become 0 or infinite in "
                f"{str(dtype).removeprefix('torch.')}; use --precision fp32"
            )


def reproducible_convolutions(device: torch.device) -> None:
    """Lets the convolutions of a GPU compute float32 in float32, and the same batch to the same bits.

    By default, cuDNN rounds float32 factors to TF32, which has 10 bits, and may add the parts of a
    gradient in any order. Both settings are the process's, and stay: gradients are computed later.
    """
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.deterministic = True


def pick_device(name: str) -> torch.device:
    """``auto``, ``cpu`` or ``cuda:N`` as a device.

    Raises:
        ConfigError: There is no such device here.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    kind, _, index = name.partition(":")
    if kind == "cpu" and not index:
        return torch.device("cpu")
    if kind == "cuda" and (index.isdigit() or not index):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(index or 0) < count:
            return torch.device(f"cuda:{int(index or 0)}")
        raise ConfigError(
            f"device is {name!r}, but this machine shows {count} CUDA device(s); leave --device out, or "
            "give cpu"
        )
    raise ConfigError(f"device is {name!r}, but must be auto, cpu or cuda:N")


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """``auto``, ``fp32`` or ``bf16``; auto is bf16 on a GPU that has it and fp32 on a CPU.

    Raises:
        ConfigError: bf16 was asked for where the hardware lacks it and would only emulate it.
    """
    if name == "fp32" or (name == "auto" and device.type == "cpu"):
        return torch.float32
    if device.type == "cuda":
        able = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        able = bool(torch.cpu._is_avx512_bf16_supported())
    if able:
        return torch.bfloat16
    if name == "auto":
        return torch.float32
    raise ConfigError(
        f"precision is 'bf16', but {device} has no bf16 arithmetic; use --precision fp32"
    )
