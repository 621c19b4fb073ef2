"""``zobench serve`` as a real process on 127.0.0.1, for tests."""

from __future__ import annotations

import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from commands import Command
from plain_http import get
from prometheus_client.parser import text_string_to_metric_families


@dataclass
class Served:
    """A server process.

    Attributes:
        url: The URL of the model.
        process: The process.
    """

    url: str
    process: Command

    @property
    def root(self) -> str:
        return self.url.partition("/v2")[0]

    @property
    def port(self) -> int:
        return int(self.root.rpartition(":")[2])

    def images(self) -> Counter[str]:
        """The number of images by outcome, from the server's metrics."""
        return self._counts("zobench_images_total", "outcome")

    def requests(self, status: str) -> int:
        """The number of requests with this status, from the server's metrics."""
        return self._counts("zobench_requests_total", "status")[status]

    def _counts(self, name: str, label: str) -> Counter[str]:
        text = get(f"{self.root}/metrics").text
        return Counter(
            {
                sample.labels[label]: int(sample.value)
                for family in text_string_to_metric_families(text)
                for sample in family.samples
                if sample.name == name
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
    **variables: str,
) -> Iterator[Served]:
    """Runs a server of an encoder in a new process, and kills the process after the block.

    Args:
        *options: Options of ``zobench serve``.
        encoder: The encoder.
        port: The port; 0 for any.
        descriptors: The number of files that the process may open; 0 for the usual number.
        **variables: Environment variables.
    """
    words = ["serve", "--encoder", encoder, "--port", str(port), *options]
    process = Command(*words, descriptors=descriptors, **variables)
    try:
        while not (line := process.said()[0]).endswith("\n") and process.poll() is None:
            time.sleep(0.02)  # its output is a file, which cannot be waited for
        assert " is served at " in line, (line, process.said()[1])
        yield Served(line.split()[-1], process)
    finally:
        process.kill()
        process.wait()
        sys.stderr.write(process.said()[1])
