"""``zobench serve`` as a real process on 127.0.0.1, for tests."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx
from prometheus_client.parser import text_string_to_metric_families


@dataclass
class Served:
    """A server process.

    Attributes:
        url: The URL of the model.
        process: The process.
    """

    url: str
    process: subprocess.Popen[str]

    @property
    def root(self) -> str:
        return self.url.partition("/v2")[0]

    @property
    def port(self) -> int:
        return int(self.root.rpartition(":")[2])

    def images(self) -> Counter[str]:
        """The number of images by outcome, from the server's metrics."""
        text = httpx.get(f"{self.root}/metrics").text
        return Counter(
            {
                sample.labels["outcome"]: int(sample.value)
                for family in text_string_to_metric_families(text)
                for sample in family.samples
                if sample.name == "zobench_images_total"
            }
        )

    def end(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal, waits for the process to end, and returns its exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)


@contextmanager
def served(
    *options: str,
    encoder: str = "tiny",
    port: int = 0,
    descriptors: int = 0,
    errors: Path | None = None,
    **variables: str,
) -> Iterator[Served]:
    """Runs a server of an encoder in a new process, and kills the process after the block.

    Args:
        *options: Options of ``zobench serve``.
        encoder: The encoder.
        port: The port; 0 for any.
        descriptors: The number of files that the process may open; 0 for the usual number.
        errors: The file for its standard error; the standard error of the tests if ``None``.
        **variables: Environment variables.
    """

    def limited() -> None:
        if descriptors:
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    told = errors.open("w") if errors is not None else None
    command = [sys.executable, "-m", "zobench", "serve", "--encoder", encoder, "--port", str(port)]
    process = subprocess.Popen(
        [*command, *options],
        stdout=subprocess.PIPE,
        stderr=told,
        text=True,
        env={**os.environ, **variables},
        preexec_fn=limited,
    )
    if told is not None:
        told.close()
    assert process.stdout is not None
    with process.stdout:
        line = process.stdout.readline()
        try:
            assert " is served at " in line, line
            yield Served(line.split()[-1], process)
        finally:
            process.kill()
            process.wait()
