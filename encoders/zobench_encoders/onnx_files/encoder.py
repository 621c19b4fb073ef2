"""``onnx:<file>``: values by onnxruntime, gradients by onnx2torch where it can convert the graph."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from zobench.contracts.encoder import EncoderRequest
from zobench.contracts.parameters import NUMBER, cut, parameter
from zobench.errors import ConfigError
from zobench.paths import expanded

from ..extras import foreign_code, missing_extra
from ..local import Backbone, LocalEncoder, LocalParameters
from ..pooling import pooled
from .graph import Graph, Input, read_graph

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnxruntime import InferenceSession

AGREEMENT = 1e-4
"""Largest relative difference of a converted graph's embeddings from onnxruntime's."""
USUAL_SIDE = 224
CUDA = "CUDAExecutionProvider"


@dataclass(frozen=True)
class OnnxParameters(LocalParameters):
    """Settings of ``onnx:<file>``: where the graph is cut, and the form of the images it takes."""

    output: str = parameter(
        "",
        "tensor that is the embedding; empty: the file's only output (zobench list names others)",
    )
    pool: str = parameter(
        "auto",
        "an output of several tokens or positions: their mean, or the first token",
        choices=("auto", "mean", "cls"),
    )
    layout: str = parameter("auto", "order of the input's axes", choices=("auto", "NCHW", "NHWC"))
    colours: str = parameter("RGB", "order of the input's channels", choices=("RGB", "BGR"))
    scale: float = parameter(
        1.0, "white in the file's pixels: 1 for 0 to 1, 255 for 0 to 255", low=1e-6, high=65_535
    )
    mean: str = parameter(
        "0", "subtracted from the pixels: one number, or one a channel in the file's order"
    )
    std: str = parameter("1", "then divided by: one number, or one a channel in the file's order")
    size: int = parameter(
        0, "side of the images in pixels; 0 takes the file's own, or 224", low=0, high=4096
    )
    gradients: str = parameter(
        "auto",
        "auto converts the graph to torch for optimizers that need gradients; none does not try",
        choices=("auto", "none"),
    )
    chunk: int = parameter(
        0, "images a call; 0 measures the best once", low=0, high=65_536, incidental=True
    )


class OnnxModule(nn.Module):
    """A graph as a torch module: onnxruntime where no gradient is needed, else the converted graph.

    Args:
        session: Runs the graph.
        takes: The images that the graph takes.
        parameters: Order of the channels, and the pooling.
    """

    converted: nn.Module | None
    """The graph in torch, or ``None`` where there are no gradients."""

    def __init__(self, session: InferenceSession, takes: Input, parameters: OnnxParameters) -> None:
        super().__init__()
        self._session, self._takes, self._form = session, takes, parameters
        self.converted = None

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings ``(N, D)`` of normalised images ``(N, C, H, W)``, red first."""
        if self._form.colours == "BGR":
            images = images.flip(1)
        if self._takes.channels_last:
            images = images.permute(0, 2, 3, 1)
        if images.requires_grad and self.converted is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the converter's own code
                answer: Tensor = self.converted(images)
        else:
            answer = self._run(images.detach())
        return pooled(answer.float(), self._form.pool)

    def _run(self, images: Tensor) -> Tensor:
        """Onnxruntime's answer; a graph for a fixed number of images gets as many."""
        count = self._takes.batch or len(images)
        parts = []
        for part in torch.split(images, count):
            fill = part[-1:].expand(count - len(part), *part.shape[1:])
            whole = torch.cat([part, fill]).contiguous().cpu().numpy()
            answer = self._session.run(None, {self._takes.name: whole})[0]
            parts.append(torch.from_numpy(answer)[: len(part)])
        return torch.cat(parts).to(images.device)


def onnx_file(request: EncoderRequest, parameters: OnnxParameters) -> LocalEncoder:
    """A network in an ONNX file.

    Raises:
        ConfigError: The packages of the extra ``onnx`` are not installed, the file is no ONNX file,
            or a setting does not fit it.
    """
    if request.precision == "bf16":
        raise ConfigError(
            f"precision is 'bf16', but {request.name} computes as its file says; use --precision fp32"
        )
    graph = read_graph(expanded(request.argument))
    takes = graph.image_input(parameters.layout)
    model = graph.until(_chosen_output(graph, parameters.output))
    side = _side(graph, takes, parameters.size)
    mean, std = (
        numbers(f"encoder.{name}", getattr(parameters, name), takes.channels)
        for name in ("mean", "std")
    )
    if parameters.colours == "BGR":
        mean, std = mean[::-1], std[::-1]  # a backbone's are red first
    device, session = _session(model, request)
    module = OnnxModule(session, takes, parameters)
    shape = (takes.channels, side, side)
    _require_embeddings(module, shape, request.name)
    fault = _convert(module, model, shape, parameters)
    notes = [f"{request.name} is a black box without gradients: {fault}"] if fault else []
    if not parameters.output:
        notes.append(
            f"{request.name}: the embedding is the file's own output, often a classifier's; zobench "
            "list encoders names the tensors for --set encoder.output"
        )
    backbone = Backbone(
        module=module,
        image_shape=shape,
        mean=tuple(value / parameters.scale for value in mean),
        std=tuple(value / parameters.scale for value in std),
        digest=hashlib.blake2b(
            model.SerializeToString(deterministic=True), digest_size=8
        ).hexdigest(),
        notes=tuple(notes),
        differentiable=not fault,
    )
    request = replace(request, device=device, precision="fp32")
    return LocalEncoder(backbone, request, parameters)


def numbers(name: str, text: str, channels: int) -> tuple[float, ...]:
    """One number a channel from a text with one number, or one a channel with commas.

    Raises:
        ConfigError: The text has another form, or a deviation is 0.
    """
    words = [word.strip() for word in text.split(",")]
    good = len(words) in (1, channels) and all(NUMBER.fullmatch(word) for word in words)
    if not good or (name.endswith("std") and any(float(word) <= 0 for word in words)):
        raise ConfigError(
            f"{name} is {cut(text)}, but must be one number, or {channels} with commas"
            + (", above 0" if name.endswith("std") else "")
        )
    return tuple(float(word) for word in words) * (channels // len(words))


def _chosen_output(graph: Graph, output: str) -> str:
    """The output asked for, or the only one of the file."""
    if output:
        return output
    if len(graph.outputs) == 1:
        return graph.outputs[0]
    raise ConfigError(
        f"{graph.path} has {len(graph.outputs)} outputs: {', '.join(graph.outputs)}; name one, or a "
        "tensor inside, with --set encoder.output=…"
    )


def _side(graph: Graph, takes: Input, asked: int) -> int:
    if takes.side is not None and asked not in (0, takes.side):
        raise ConfigError(
            f"encoder.size is {asked}, but {graph.path} takes {takes.side}x{takes.side} pixels only"
        )
    return takes.side or asked or USUAL_SIDE


def _session(model: ModelProto, request: EncoderRequest) -> tuple[str, InferenceSession]:
    """Onnxruntime's session and the device it runs on; a GPU is used where onnxruntime has it."""
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise missing_extra(request.name, "onnx", error) from error
    cuda = CUDA in onnxruntime.get_available_providers()
    device = request.device
    if device == "auto":
        device = "auto" if cuda else "cpu"
    elif device != "cpu" and not cuda:
        raise ConfigError(
            f"device is {device!r}, but the installed onnxruntime knows CPUs only; use --device cpu, or "
            "install onnxruntime-gpu"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors; its warnings are about the exporter's habits
    providers = ["CPUExecutionProvider"] if device == "cpu" else [CUDA, "CPUExecutionProvider"]
    try:
        return device, onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=providers
        )
    except Exception as error:  # its exceptions have no common class of their own
        raise ConfigError(f"{request.name} cannot be run by onnxruntime: {error}") from error


def _require_embeddings(module: OnnxModule, shape: tuple[int, int, int], name: str) -> None:
    """Runs the graph on two images.

    Raises:
        ConfigError: It does not run, or its answer is not one embedding an image.
    """
    with foreign_code(name, f"cannot be run on images of shape {shape}"):
        answer = module(torch.zeros(2, *shape))
        if answer.ndim != 2 or len(answer) != 2:
            raise ConfigError(
                f"encoder {name} answers shape {tuple(answer.shape)} for two images, not (2, D); "
                "choose a tensor with --set encoder.output=…"
            )


def _convert(
    module: OnnxModule, model: ModelProto, shape: tuple[int, int, int], parameters: OnnxParameters
) -> str:
    """Gives the module its graph in torch; the reason where that cannot be, else an empty text."""
    if parameters.gradients == "none":
        return "encoder.gradients is none"
    try:
        from onnx2torch import convert
    except ModuleNotFoundError as error:
        return f"the package {error.name} is not installed"
    images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wanted = module(images)
            with torch.random.fork_rng(devices=[]):  # of layers, whose weights are replaced
                module.converted = convert(model).eval()
            sent = images.clone().requires_grad_()
            answer = module(sent)
            torch.autograd.grad(answer.square().sum(), sent)
    except Exception as error:  # a converter meets any graph that anybody exported
        module.converted = None
        return f"onnx2torch cannot convert it ({type(error).__name__}: {str(error)[:120]})"
    same = answer.shape == wanted.shape
    if not same or not (answer - wanted).norm() <= AGREEMENT * wanted.norm():
        module.converted = None
        return "onnx2torch's conversion answers other numbers than onnxruntime"
    return ""
