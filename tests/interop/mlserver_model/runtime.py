"""The bundled encoder as an MLServer runtime; runs in MLServer's own environment."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from zobench.contracts.encoder import EncoderRequest
from zobench.registry.discovery import load_registry


class Encoder(MLModel):
    async def load(self) -> bool:
        offer, argument = load_registry().find("encoders", "vit-mae")
        cache = Path(tempfile.mkdtemp())
        request = EncoderRequest("vit-mae", argument, "cpu", "fp32", cache)
        self.encoder = offer.plugin.make(request, {"chunk": 16}, "encoder")
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        images = torch.from_numpy(NumpyCodec.decode_input(payload.inputs[0]).copy())
        with torch.inference_mode():
            found = self.encoder.embed(images).numpy()
        output = NumpyCodec.encode_output("embeddings", found)
        return InferenceResponse(model_name=self.name, outputs=[output])
