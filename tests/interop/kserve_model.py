"""The bundled encoder in KServe's Python server, on 127.0.0.1; runs in KServe's own environment.

python kserve_model.py PORT
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import uvicorn
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from kserve.model_server import app
from kserve.protocol.rest.server import RESTServer

from zobench.contracts.encoder import EncoderRequest
from zobench.registry.discovery import load_registry


class Encoder(Model):
    def __init__(self) -> None:
        super().__init__("encoder")
        offer, argument = load_registry().find("encoders", "vit-mae")
        cache = Path(tempfile.mkdtemp())
        request = EncoderRequest("vit-mae", argument, "cpu", "fp32", cache)
        self.encoder = offer.plugin.make(request, {"chunk": 16}, "encoder")
        self.ready = True

    async def get_input_types(self) -> list[dict[str, Any]]:
        return [{"name": "images", "datatype": "FP32", "shape": [-1, 1, 224, 224]}]

    async def get_output_types(self) -> list[dict[str, Any]]:
        return [{"name": "embeddings", "datatype": "FP32", "shape": [-1, 176]}]

    async def predict(
        self, payload: InferRequest, headers: Any = None, response_headers: Any = None
    ) -> InferResponse:
        (entry,) = payload.inputs
        binary = entry.data is None or isinstance(entry._raw_data, bytes)
        self.binary_seen = binary
        with torch.inference_mode():
            found = self.encoder.embed(torch.from_numpy(entry.as_numpy().copy())).numpy()
        output = InferOutput("embeddings", list(found.shape), "FP32")
        output.set_data_from_numpy(found, binary_data=binary)
        return InferResponse(payload.id or "", self.name, [output])


port = int(sys.argv[1])
server = ModelServer(http_port=port, enable_grpc=False, workers=1)
server.register_model(Encoder())
rest = RESTServer(
    "kserve.model_server:app", server.dataplane, server.model_repository_extension, port
)
rest.create_application()
uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
