"""Equal batches give equal embeddings; other batches agree within the tolerance.

The last bits of a matrix product depend on the batch shape, the number of threads and the
instructions of the processor. Each setting of threads and instructions gets a new process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from zobench_encoders.local import TOLERANCE

SCRIPT = """
import json, sys
from pathlib import Path
import torch
from zobench.contracts import EncoderRequest
from zobench_encoders.vit_mae import VitMaeParameters, vit_mae

def embedded(chunk, sizes):
    request = EncoderRequest("vit-mae", "", "cpu", "fp32", Path(sys.argv[1]))
    encoder = vit_mae(request, VitMaeParameters(chunk=chunk))
    with torch.inference_mode():
        return torch.cat([encoder.embed(part) for part in images.split(sizes)])

images = torch.rand(17, 1, 224, 224, generator=torch.Generator().manual_seed(0))
once, again = embedded(16, [7, 7, 3]), embedded(16, [7, 7, 3])
size = float(once.abs().max())
others = [embedded(chunk, sizes) for chunk in (8, 16) for sizes in ([17], [1] * 17, [5] * 3 + [2])]
print(json.dumps({
    "same": torch.equal(once, again),
    "difference": max(float((each - once).abs().max()) for each in others) / size,
    "threads": torch.get_num_threads(),
    "instructions": torch.backends.cpu.get_cpu_capability(),
}))
"""

INSTRUCTIONS: dict[str, dict[str, str]] = {
    "as they are": {},
    "avx2 in torch": {"ATEN_CPU_CAPABILITY": "avx2"},
    "none in torch": {"ATEN_CPU_CAPABILITY": "default"},
    "avx2 in MKL and oneDNN": {
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
    },
}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "instructions",
    [
        "as they are",
        *(pytest.param(name, marks=pytest.mark.lengthy) for name in list(INSTRUCTIONS)[1:]),
    ],
)
def test_equal_batches_give_equal_bits_and_other_batches_the_stated_tolerance(
    tmp_path: Path, threads: int, instructions: str
) -> None:
    if "avx2" in instructions and not torch.cpu._is_avx512_supported():
        pytest.skip("this processor has no AVX-512, so libraries use AVX2 at most as it is")
    variables = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        env={**os.environ, **variables, **INSTRUCTIONS[instructions]},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["threads"] == threads
    if instructions == "none in torch":
        assert found["instructions"] in ("DEFAULT", "NO AVX")
    assert found["same"]
    assert found["difference"] <= TOLERANCE[torch.float32]
