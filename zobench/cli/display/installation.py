"""The findings of ``zobench doctor``: versions, devices, caches, plugins, extras, missing parts."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import platform
import re
import textwrap
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape

from zobench.errors import PluginError, StoreError
from zobench.files.atomic import require_writable
from zobench.paths import cache_folder
from zobench.registry.discovery import KINDS, distribution_version, load_registry

from .console import output_console

REQUIREMENT = re.compile(r"(?P<package>[A-Za-z0-9._-]+).*; extra == ['\"](?P<extra>[^'\"]+)")
"""A requirement of an extra, as the metadata of a distribution has it."""
OF_DEVELOPERS = ("dev", "test")
REQUIRED = re.compile(r"[A-Za-z0-9._-]+(?=[^;]*$)")
"""The package of a requirement without a condition."""
PACKAGES = ("zobench", "torch", "torchvision", "timm", "nevergrad", "numpy", "scipy", "safetensors")


def examine(as_json: bool) -> None:
    """Prints the findings; exits with 1 where something is missing."""
    findings, missing = _findings()
    if as_json:
        print(json.dumps({**findings, "missing": missing}))
    else:
        console = output_console()
        for section, values in findings.items():
            console.print(f"[bold]{section}[/]")
            for name, value in values.items():
                console.print(escape(_line(name, str(value), console)), soft_wrap=True)
        for problem in missing:
            console.print(f"[bold red]missing:[/] {escape(problem)}", soft_wrap=True)
        if not missing:
            console.print("[bold green]everything that zobench itself needs is in place[/]")
    if missing:
        raise typer.Exit(1)


def _line(name: str, value: str, console: Console) -> str:
    """A finding; in a terminal its further lines are indented, and names stay whole."""
    if not console.is_terminal:
        return f"  {name:<22}{value}"
    return textwrap.fill(
        value,
        console.width,
        initial_indent=f"  {name:<22}",
        subsequent_indent=" " * 24,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _findings() -> tuple[dict[str, dict[str, Any]], list[str]]:
    missing: list[str] = []
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    needed = dict.fromkeys((*PACKAGES, *_required()))
    missing += [
        f"package {package}: python -m pip install {package}"
        for package in needed
        if distribution_version(package) == "unknown"
    ]
    findings = {
        "versions": versions,
        "devices": _devices(missing),
        "caches": _caches(missing),
        "plugins": _plugins(missing),
        "extras": _extras(),
    }
    return findings, missing


def _required() -> list[str]:
    """The packages that zobench requires, whatever its extras."""
    if distribution_version("zobench") == "unknown":  # run from its source
        return []
    lines = importlib.metadata.requires("zobench") or ()
    return [found[0] for line in lines if (found := REQUIRED.match(line))]


def _extras() -> dict[str, str]:
    """For each extra of zobench whether its packages are installed; an extra is nobody's duty."""
    if distribution_version("zobench") == "unknown":  # run from its source
        return {}
    needed: dict[str, list[str]] = defaultdict(list)
    for line in importlib.metadata.requires("zobench") or ():
        requirement = REQUIREMENT.match(line)
        if requirement is not None and requirement["extra"] not in OF_DEVELOPERS:
            needed[requirement["extra"]].append(requirement["package"])
    told = {}
    for extra, packages in sorted(needed.items()):
        absent = [package for package in packages if distribution_version(package) == "unknown"]
        told[extra] = (
            f"without {', '.join(absent)}: python -m pip install 'zobench[{extra}]'"
            if absent
            else "installed"
        )
    return told


def _devices(missing: list[str]) -> dict[str, Any]:
    devices: dict[str, Any] = {"cpu": f"{os.cpu_count()} cores"}
    try:
        import torch

        importlib.import_module("torchvision")  # timm needs it, and mixed builds break here
    except (ImportError, RuntimeError, OSError) as error:
        missing.append(
            f"a working torch ({error}); reinstall torch and torchvision together from one index"
        )
        return devices
    devices["threads"] = torch.get_num_threads()
    devices["bf16 on cpu"] = _bf16_on_cpu()
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for index in range(count):
        devices[f"cuda:{index}"] = torch.cuda.get_device_name(index)
    if not count:
        devices["cuda"] = "none"
    return devices


def _bf16_on_cpu() -> str:
    """Whether the processor has bf16 arithmetic, and whether to expect it to be the faster one."""
    import torch

    if not torch.cpu._is_avx512_bf16_supported():
        return "no"
    if torch.cpu._is_amx_tile_supported():
        return "yes, with AMX: --precision bf16 was 2 to 4 times as fast with most networks"
    return "yes, without AMX: --precision bf16 was 0.6 to 1.3 times as fast as fp32"


def _caches(missing: list[str]) -> dict[str, Any]:
    folder = cache_folder()
    try:
        require_writable(folder)
    except StoreError as error:
        reason = getattr(error.__cause__, "strerror", None) or error
        missing.append(
            f"a writable cache ({folder}: {reason}); set ZOBENCH_CACHE to another folder"
        )
    return {"folder": str(folder), "size": f"{_size(folder) / 1e6:,.0f} MB"}


def _size(folder: Path) -> int:
    """Bytes on disk; the length of a sparse image cache would be too large."""
    held = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # another process has just replaced it
                held += 512 * getattr(os.lstat(os.path.join(where, name)), "st_blocks", 0)
    return held


def _plugins(missing: list[str]) -> dict[str, Any]:
    try:
        registry = load_registry()
        _ = registry.metrics  # loaded and checked, since every table needs them
    except PluginError as error:
        missing.append(str(error))
        return {}
    return {kind: ", ".join(sorted(registry.offers[kind])) or "none" for kind in KINDS}
