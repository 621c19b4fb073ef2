"""What the documents tell a reader to type, typed."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import TinyDataset, TinyEncoder

import zobench
from zobench.plugins import Offer, Registry, load_registry

DOCS = Path(__file__).parents[2] / "docs"


def test_the_optimizer_of_the_how_to_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (DOCS / "how-to" / "write-an-optimizer.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    (tmp_path / "random_walk.py").write_text(code)
    spec = importlib.util.spec_from_file_location("random_walk", tmp_path / "random_walk.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "random_walk", module)
    spec.loader.exec_module(module)
    offers: dict[Any, Any] = dict(load_registry().offers)
    for kind, plugins in {
        "optimizers": module.zobench_register_optimizers(),
        "encoders": {"tiny": zobench.Plugin(lambda request: TinyEncoder(), "")},
        "datasets": {"tiny": zobench.Plugin(lambda request: TinyDataset(), "")},
    }.items():
        mine = {name: Offer(name, plugin, "docs") for name, plugin in plugins.items()}
        offers[kind] = {**offers[kind], **mine}
    result = zobench.run(
        optimizer="random-walk",
        encoder="tiny",
        dataset="tiny",
        disease="spots",
        budget=400,
        batch_size=10,
        replicates=20,
        overrides={
            "split": {"train": 120, "test_per_cell": 40},
            "optimizer": {"step": 0.05},
        },
        out=tmp_path,
        registry=Registry(offers),
    )
    assert result.scores[-1].queries == 400
    assert result.scores[-1].objective < result.scores[0].objective


def test_every_link_between_documents_leads_somewhere() -> None:
    for page in [*DOCS.rglob("*.md"), DOCS.parent / "README.md"]:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
