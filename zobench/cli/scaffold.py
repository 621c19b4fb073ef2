"""``zobench plugin new``: the files of a small plugin project that works unchanged."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from string import Template

from zobench.contracts.parameters import cut
from zobench.errors import ConfigError

MAX_CHARACTERS = 60
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "zobench-$name"
version = "0.1.0"
description = "$name, an optimizer for zobench"
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["zobench"]

[project.optional-dependencies]
test = ["pytest"]

[project.entry-points.zobench]
$module = "zobench_$module"

[tool.hatch.build]
dev-mode-dirs = ["."]

[tool.hatch.build.targets.wheel]
only-include = ["zobench_$module.py"]
"""

OPTIMIZER = '''\
"""$name: takes a random step, keeps it where it helps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

import zobench
from zobench.contracts import Answer, Ask, Feedback, OptimizerContext, Stateful

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ${Class}Parameters:
    """Shown by ``zobench list optimizers $name``, set by ``--set optimizer.step=0.02``."""

    step: float = zobench.parameter(0.01, "size of a step, in units of the pixel range", low=1e-6)


class $Class(Stateful):
    """Compares the edit with a random neighbour on the same images."""

    feedback: ClassVar[Feedback] = "value"
    remembered = ("edit", "asks", "rng")  # the complete state; saved and restored

    def __init__(self, context: OptimizerContext, parameters: ${Class}Parameters) -> None:
        import torch  # here, so that ``zobench list`` stays instant

        self.rng = context.rng  # the only source of random numbers
        self.shape = context.space.shape
        self.step = parameters.step
        self.edit = torch.zeros(self.shape, dtype=torch.float32)
        self.asks = 0

    def ask(self) -> Ask:
        """The edit and a neighbour; equal minibatch numbers mean the same images."""
        import torch

        noise = self.rng.standard_normal(self.shape, dtype=np.float32)
        neighbour = self.edit + self.step * torch.from_numpy(noise)
        return Ask(torch.stack([self.edit, neighbour]), np.array([self.asks, self.asks]))

    def tell(self, ask: Ask, answer: Answer) -> None:
        """Moves where the neighbour has the lower value."""
        if answer.values[1] < answer.values[0]:
            self.edit = ask.points[1].clone()
        self.asks += 1

    def recommend(self) -> Tensor:
        """The edit to deploy if the run ended now."""
        return self.edit.clone()


@zobench.hookimpl
def zobench_register_optimizers() -> dict[str, zobench.Plugin]:
    """Found by zobench through the entry point in pyproject.toml."""
    return {"$name": zobench.Plugin($Class, "keeps random steps that help", label="value")}
'''

CLIENT_OPTIMIZER = '''\
"""$name: sends every image with a step of its own, and learns from its embedding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

import zobench
from zobench.contracts import Answer, Ask, Feedback, OptimizerContext, Stateful

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ${Class}Parameters:
    """Shown by ``zobench list optimizers $name``, set by ``--set optimizer.step=0.02``."""

    step: float = zobench.parameter(0.01, "size of a trial, in units of the pixel range", low=1e-6)
    lr: float = zobench.parameter(0.002, "root mean square of a step of the edit", low=0)


class $Class(Stateful):
    """One image per direction: a query costs one image, so every image asks something else."""

    feedback: ClassVar[Feedback] = "embeddings"
    remembered = ("edit", "rng")  # the complete state; saved and restored

    def __init__(self, context: OptimizerContext, parameters: ${Class}Parameters) -> None:
        import torch  # here, so that ``zobench list`` stays instant

        assert context.client is not None  # zobench gives it to this level of feedback
        self.client = context.client  # g, clean embeddings, labels and images of the training set
        self.rng = context.rng  # the only source of random numbers
        self.shape = context.space.shape
        self.images = context.batch_size
        self.step, self.lr = parameters.step, parameters.lr
        self.edit = torch.zeros(self.shape, dtype=torch.float32)

    def ask(self) -> Ask:
        """Random images, each with its own random step from the edit."""
        import torch

        noise = self.rng.standard_normal((self.images, *self.shape), dtype=np.float32)
        self.directions = torch.from_numpy(noise)
        rows = self.rng.integers(0, len(self.client), (self.images, 1))
        return Ask(self.edit + self.step * self.directions, rows=rows)

    def tell(self, ask: Ask, answer: Answer) -> None:
        """Compares each image's objective with that of its clean embedding, which costs nothing."""
        import torch

        assert answer.embeddings is not None
        assert answer.rows is not None
        clean = self.client.clean[torch.from_numpy(answer.rows)]
        change = self.client.values(answer.embeddings, answer.rows)
        change = change - self.client.values(clean, answer.rows)
        weights = (change - change.mean()).float()
        slope = torch.einsum("k,k...->...", weights, self.directions)
        size = slope.square().mean().sqrt()
        if size > 0:
            self.edit = self.edit - self.lr * slope / size

    def recommend(self) -> Tensor:
        """The edit to deploy if the run ended now."""
        return self.edit.clone()


@zobench.hookimpl
def zobench_register_optimizers() -> dict[str, zobench.Plugin]:
    """Found by zobench through the entry point in pyproject.toml."""
    return {"$name": zobench.Plugin($Class, "one image per direction", label="embeddings")}
'''

OPTIMIZERS: dict[str, str] = {"value": OPTIMIZER, "embeddings": CLIENT_OPTIMIZER}
"""The template of the optimizer, by its level of feedback."""

TEST = '''\
"""Tests of the contract of zobench optimizers, and of the progress of $name."""

from zobench.testing import OptimizerConformance


class Test$Class(OptimizerConformance):
    name = "$name"
    progress = 0.1
'''

README = """\
# zobench-$name

An optimizer for zobench, the benchmark of fairness per query.

```sh
python -m pip install -e '.[test]'
zobench plugin check $name
python -m pytest
zobench run --optimizer $name
```
"""

WORKFLOW = """\
name: ci
on: [push, pull_request]
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - run: python -m pip install -e '.[test]'
      - run: python -m pytest
"""

IGNORED = """\
__pycache__/
*.egg-info/
dist/
/runs/
"""


def write_project(name: str, parent: Path, feedback: str = "value") -> Path:
    """Writes the project ``zobench-<name>`` into ``parent`` and returns its folder.

    Args:
        name: The name of the optimizer.
        parent: The folder to write into.
        feedback: The level of feedback of the optimizer: ``value`` or ``embeddings``.

    Raises:
        ConfigError: The name is no plugin name, there is no example of that level, or the folder
            exists or cannot be written.
    """
    template = OPTIMIZERS.get(feedback)
    if template is None:
        raise ConfigError(
            f"feedback is {cut(feedback)}, but must be {' or '.join(OPTIMIZERS)}: there are examples of "
            "these two"
        )
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"the name is {cut(name)}, but must be small letters and digits, a letter first, joined by "
            "single hyphens, "
            "e.g. random-walk"
        )
    module = name.replace("-", "_")
    if keyword.iskeyword(module) or keyword.iskeyword(
        "".join(map(str.capitalize, name.split("-")))
    ):
        raise ConfigError(
            f"the name is {name!r}, a word of Python, so no module or class can have it; choose "
            f"another, e.g. {name}-search"
        )
    if len(name) > MAX_CHARACTERS:
        raise ConfigError(
            f"the name has {len(name):,} characters; at most {MAX_CHARACTERS} are allowed"
        )
    words = {"name": name, "module": module, "Class": "".join(map(str.capitalize, name.split("-")))}
    files = {
        "pyproject.toml": PYPROJECT,
        f"zobench_{module}.py": template,
        f"tests/test_{module}.py": TEST,
        "README.md": README,
        ".github/workflows/ci.yml": WORKFLOW,
        ".gitignore": IGNORED,
    }
    folder = parent / f"zobench-{name}"
    if folder.exists():
        raise ConfigError(f"{folder} exists already; choose another name or another --out")
    try:
        for path, text in files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(Template(text).substitute(words))
    except OSError as error:
        raise ConfigError(
            f"cannot write {folder}: {error.strerror}; choose another --out"
        ) from error
    return folder
