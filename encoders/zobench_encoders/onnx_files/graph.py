"""The graph of an ONNX file: its input, the tensors that it can be cut at, and the part before one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from zobench.contracts.parameters import cut, nearest
from zobench.errors import ConfigError
from zobench.paths import expanded

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, ValueInfoProto

Shape = tuple[int | None, ...]
"""The shape of a tensor; ``None`` for a dimension that the file leaves open."""

LEAST_NUMBERS, MOST_NUMBERS = 16, 16_384
"""Numbers per image of a tensor that ``zobench list`` names as a place to cut."""
CHANNELS = (1, 3)
COLOURS = 3
"""Channels where the file leaves their number open."""


@dataclass(frozen=True)
class Input:
    """The images that a graph takes.

    Attributes:
        name: Name of the tensor.
        channels_last: Whether the layout is NHWC.
        channels: Number of channels.
        side: Pixels per side, or ``None`` if the file leaves it open.
        batch: Images per call, or ``None`` if the file leaves it open.
    """

    name: str
    channels_last: bool
    channels: int
    side: int | None
    batch: int | None


@dataclass(frozen=True)
class Graph:
    """The graph of an ONNX file.

    Attributes:
        path: The file.
        model: The parsed file.
    """

    path: Path
    model: ModelProto

    @property
    def outputs(self) -> list[str]:
        """Names of the outputs that the file declares."""
        return [tensor.name for tensor in self.model.graph.output]

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Shapes of all tensors that a node computes, where ONNX's inference knows them."""
        from onnx import TensorProto, shape_inference

        inferred = shape_inference.infer_shapes(self.model, data_prop=True).graph
        computed = {name for node in self.model.graph.node for name in node.output}
        return {
            tensor.name: _shape(tensor)
            for tensor in [*inferred.value_info, *inferred.output]
            if tensor.name in computed
            and tensor.type.tensor_type.HasField("shape")
            and tensor.type.tensor_type.elem_type == TensorProto.FLOAT
        }

    def candidates(self) -> list[tuple[str, str]]:
        """Tensors that can be embeddings, and their shapes, the last ones first."""
        tensors = []
        for name, shape in reversed(self.shapes.items()):
            numbers = shape[1] if len(shape) in (2, 4) else shape[2] if len(shape) == 3 else None
            if numbers is not None and LEAST_NUMBERS <= numbers <= MOST_NUMBERS:
                words = "x".join("?" if size is None else str(size) for size in shape[1:])
                form = {2: "as it is", 3: "mean over tokens", 4: "mean over positions"}[len(shape)]
                tensors.append((name, f"{words} numbers an image, {form}"))
        return tensors

    def image_input(self, layout: str) -> Input:
        """The graph's only image input.

        Args:
            layout: ``NCHW``, ``NHWC``, or ``auto``: the axis with one or three channels.

        Raises:
            ConfigError: The graph has other inputs, or its layout cannot be told.
        """
        from onnx import TensorProto

        stored = {tensor.name for tensor in self.model.graph.initializer}
        inputs = [tensor for tensor in self.model.graph.input if tensor.name not in stored]
        shapes = ", ".join(f"{tensor.name} {_shape(tensor)}" for tensor in inputs)
        if len(inputs) != 1 or len(_shape(inputs[0])) != 4:
            raise ConfigError(
                f"{self.path} takes {shapes or 'no input'}, but an encoder takes one batch of images"
            )
        kind = inputs[0].type.tensor_type.elem_type
        if kind != TensorProto.FLOAT:
            raise ConfigError(
                f"{self.path} takes {TensorProto.DataType.Name(kind)} pixels, but must take FLOAT"
            )
        shape = _shape(inputs[0])
        if layout == "auto":
            first, last = shape[1] in CHANNELS, shape[3] in CHANNELS
            if first == last:
                raise ConfigError(
                    f"{self.path} takes {shapes}, so its layout cannot be told; give "
                    "--set encoder.layout=NCHW or =NHWC"
                )
            layout = "NHWC" if last else "NCHW"
        rows, columns = (shape[1], shape[2]) if layout == "NHWC" else (shape[2], shape[3])
        channels = (shape[3] if layout == "NHWC" else shape[1]) or COLOURS
        # where the file leaves one side open, images are square
        rows, columns = rows or columns, columns or rows
        if channels not in CHANNELS or rows != columns:
            raise ConfigError(
                f"{self.path} takes {shapes}, which is {channels} channels of {rows}x{columns} pixels "
                f"with layout {layout}; an encoder takes square images of 1 or 3 channels"
            )
        return Input(inputs[0].name, layout == "NHWC", channels, rows, shape[0])

    def until(self, output: str) -> ModelProto:
        """The part of the graph that computes one tensor.

        Raises:
            ConfigError: The graph has no such tensor.
        """
        from onnx import ModelProto
        from onnx.helper import make_tensor_value_info

        computed = [name for node in self.model.graph.node for name in node.output]
        if output not in computed:
            raise ConfigError(
                f"encoder.output is {cut(output)}, but {self.path} computes no such tensor"
                f"{nearest(output, computed)}; candidates: zobench list encoders onnx:{self.path}"
            )
        part = ModelProto()
        part.CopyFrom(self.model)
        graph, needed, nodes = part.graph, {output}, []
        for node in reversed(self.model.graph.node):
            if needed & set(node.output):
                nodes.append(node)
                needed |= _read_by(node)
        stored = [tensor for tensor in self.model.graph.initializer if tensor.name in needed]
        inputs = [tensor for tensor in self.model.graph.input if tensor.name in needed]
        for field, kept in (
            (graph.input, inputs),
            (graph.node, nodes[::-1]),
            (graph.initializer, stored),
            (graph.value_info, []),
            (graph.output, [make_tensor_value_info(output, self._type_of(output), None)]),
        ):
            del field[:]
            field.extend(kept)
        return part

    def _type_of(self, tensor: str) -> int:
        """The element type of a tensor: half or double precision if the file says so, else float."""
        from onnx import TensorProto

        for value in (*self.model.graph.value_info, *self.model.graph.output):
            kind = int(value.type.tensor_type.elem_type)
            if value.name == tensor and kind in (TensorProto.FLOAT16, TensorProto.DOUBLE):
                return kind
        return int(TensorProto.FLOAT)


def _read_by(node: NodeProto) -> set[str]:
    """Names of the tensors that a node reads, those of its inner graphs included."""
    names = set(node.input)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                names |= _read_by(inner)
    return names


def read_graph(path: Path) -> Graph:
    """Reads an ONNX file, with the tensors that it keeps in files beside it.

    Raises:
        ConfigError: There is no such file, or it is no ONNX file, or the package onnx is missing.
    """
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"encoder onnx needs the package {error.name}: python -m pip install 'zobench[onnx]'"
        ) from error
    from google.protobuf.message import DecodeError
    from onnx.checker import ValidationError

    if not path.is_file():
        raise ConfigError(f"encoder onnx:{path} names no file; give onnx:<path of an .onnx file>")
    try:
        model = onnx.load(path)
        if not model.graph.node:
            raise ConfigError(f"{path} holds no ONNX graph")
        return Graph(path, model)
    except (DecodeError, OSError, ValueError, ValidationError) as error:
        raise ConfigError(f"{path} is not a readable ONNX file: {error}") from error


def list_candidates(argument: str) -> list[tuple[str, str]]:
    """Tensors of a file that can be embeddings, for ``zobench list encoders onnx:FILE``."""
    return read_graph(expanded(argument)).candidates()


def _shape(tensor: ValueInfoProto) -> Shape:
    dimensions = tensor.type.tensor_type.shape.dim
    return tuple(
        dimension.dim_value if dimension.dim_value > 0 else None for dimension in dimensions
    )
