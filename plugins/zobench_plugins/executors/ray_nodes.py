"""Checks that the nodes of a Ray cluster have the same packages and see the run folders."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from zobench.contracts.executor import ExecutorRequest
from zobench.errors import ExecutorError
from zobench.suite.attempts import ATTEMPTS

LOOK_SECONDS = 60.0

Node = dict[str, Any]
"""A node as an entry of ``ray.nodes()``."""


def check_nodes(ray: Any, nodes: Sequence[Node], request: ExecutorRequest) -> None:
    """Compares every node with this machine, and looks whether it sees the run folders.

    Args:
        ray: The module, connected.
        nodes: The nodes that are alive.
        request: The request with the distributions and the folder of run folders.

    Raises:
        ExecutorError: A node lacks something; the message names the node and the fault.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    mark = request.out.resolve() / ATTEMPTS / f"mark-{secrets.token_hex(8)}"
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    looks = {
        ray.remote(_look())
        .options(
            num_cpus=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
        )
        .remote(list(request.distributions), str(mark)): node
        for node in nodes
    }
    try:
        _, silent = ray.wait(
            list(looks), num_returns=len(looks), timeout=LOOK_SECONDS, fetch_local=False
        )
        lacking = [f"{_name(looks[look])} does not answer" for look in silent]
        for look, node in looks.items():
            if look not in silent:
                lacking += [f"{_name(node)} {lack}" for lack in _lacks(ray, look, request)]
    finally:
        with suppress(OSError):
            mark.unlink()
            mark.parent.rmdir()
    if lacking:
        raise ExecutorError(
            "not every node of the Ray cluster can carry out these runs:"
            + "".join(f"\n  - {fault}" for fault in lacking)
        )


def _lacks(ray: Any, look: Any, request: ExecutorRequest) -> Iterator[str]:
    try:
        versions, sees = ray.get(look)
    except ray.exceptions.RayError as error:
        yield f"cannot be looked at: {type(error).__name__}"
        return
    for name, version in request.distributions.items():
        there = versions[name]
        if not there:
            yield f"lacks {name}, which is {version} here; install it there"
        elif there != version:
            yield f"has {name} {there}, but here it is {version}; install the same"
    if request.shared and not sees:
        yield (
            f"does not see {request.out.resolve()}; give --out a folder that all nodes share, or a URL "
            "such as s3://bucket/runs"
        )


def _look() -> Callable[[list[str], str], tuple[dict[str, str], bool]]:
    """The function that runs on a node; Ray pickles a local function by value."""

    def look(names: list[str], mark: str) -> tuple[dict[str, str], bool]:
        import importlib.metadata
        import os.path

        versions = {}
        for name in names:
            try:
                versions[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                versions[name] = ""
        return versions, os.path.exists(mark)

    return look


def _name(node: dict[str, Any]) -> str:
    return f"node {node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
