"""A head that dies during a call is reported; Ray itself would end the process a minute later."""

from __future__ import annotations

import socket
import threading

import pytest
from zobench_plugins.executors import ray as engine

from zobench.errors import ExecutorError


class Waiting:
    """Stands in for Ray while the head does not answer: calls block."""

    def __init__(self) -> None:
        self.asked, self.over = threading.Event(), threading.Event()

    def nodes(self) -> list[engine.Node]:
        self.asked.set()
        self.over.wait()
        return []


def test_a_head_that_dies_while_it_is_asked_is_told() -> None:
    ray, executor = Waiting(), object.__new__(engine.RayExecutor)
    with socket.create_server(("127.0.0.1", 0)) as head:
        executor._ray, executor._head = ray, f"127.0.0.1:{head.getsockname()[1]}"

        def die() -> None:
            ray.asked.wait()
            head.close()

        threading.Thread(target=die).start()
        with pytest.raises(ExecutorError, match="does not answer any more"):
            executor._nodes()
    ray.over.set()
    assert ray.asked.is_set()
