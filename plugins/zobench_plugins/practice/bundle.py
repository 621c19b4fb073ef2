"""A bundle: all that is needed to use an edit without zobench. Five plain files, no pickle."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from zobench.errors import ConfigError
from zobench.files.atomic import disk_errors
from zobench.files.json_files import read_json
from zobench.records.layout import IMAGES
from zobench.records.stored_run import StoredRun
from zobench.registry.discovery import distribution_version
from zobench.runs.refit import Heads

from .sending import form_of

EDIT, HEADS, FACTS, LOADER, README = "edit.npy", "heads.npz", "bundle.json", "load.py", "README.md"


def write_bundle(run: StoredRun, heads: Heads, out: Path) -> None:
    """Writes the bundle of a finished run into a new folder.

    Raises:
        ConfigError: The folder exists and is not empty.
        StoreError: A file cannot be written.
    """
    require_new(out)
    facts = _facts(run, heads)
    arrays = {
        f"{name}_{part}": getattr(head, part)
        for name, head in (("disease", heads.disease), ("sensitive", heads.sensitive))
        for part in ("weight", "bias")
    }
    loader = (resources.files(__package__) / LOADER).read_text(encoding="utf-8")
    edit = run.edit_after(run.snapshots[-1]).numpy()
    text = json.dumps(facts, indent=2, allow_nan=False, ensure_ascii=False)
    with disk_errors(out):
        place = out.absolute()
        place.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=place.parent, prefix=f".{place.name}-") as name:
            draft = Path(name) / place.name  # the whole bundle, or none of it
            draft.mkdir()
            np.save(draft / EDIT, np.asarray(edit, dtype=np.float32), allow_pickle=False)
            np.savez(draft / HEADS, allow_pickle=False, **arrays)
            (draft / FACTS).write_text(text + "\n", encoding="utf-8")
            (draft / LOADER).write_text(loader, encoding="utf-8")
            (draft / README).write_text(_readme(run, facts), encoding="utf-8")
            draft.replace(place)


def require_new(out: Path) -> None:
    """Refuses a folder that holds anything.

    Raises:
        ConfigError: The folder exists and is not empty.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} exists already; name a new folder")


def _facts(run: StoredRun, heads: Heads) -> dict[str, Any]:
    manifest, form = run.manifest, form_of(run)
    names = run.location / IMAGES
    stored = run.as_dict()
    return {
        "made_with": {name: distribution_version(name) for name in ("zobench", "numpy", "pillow")},
        "run": manifest.run_id,
        "config": {
            k: v for k, v in run.config.as_dict().items() if k not in ("data_root", "overrides")
        },
        "parameters": manifest.parameters,
        "verdict": run.verdict.text,
        "preprocessing": {
            "size": form.size,
            "channels": form.channels,
            "sent_channels": manifest.encoder.image_shape[0],
            "filter": "Lanczos, stretched to a square",
            "range": [0.0, 1.0],
            "window": None if form.window is None else [form.window.low, form.window.high],
            "bits": None if manifest.encoder.exact_floats else 8,
        },
        "encoder": {
            "name": run.config.encoder,
            "digest": manifest.encoder.digest,
            "image_shape": list(manifest.encoder.image_shape),
            "dimension": manifest.encoder.embedding_dim,
        },
        "dataset": {
            "name": run.config.dataset,
            "finding": run.config.disease,
            "groups": list(manifest.dataset.groups),
            "digest": manifest.dataset.digest,
            "training_images": manifest.split.train,
            "test_images": manifest.split.test,
            "images": read_json(names) if names.path.exists() else None,
        },
        "scores": {
            "erm": stored["scores"][0],
            "edit": stored["scores"][-1],
            "baselines": stored["baselines"],
            "controls": stored["controls"],
        },
        "refitted_scores_differ_by": heads.difference,
    }


def _readme(run: StoredRun, facts: dict[str, Any]) -> str:
    form, encoder, data = facts["preprocessing"], facts["encoder"], facts["dataset"]
    first, second = data["groups"]
    size, scale = form["size"], "in the range 0 to 1"
    nothing = "" if facts["scores"]["edit"]["norm"] else "; zero in this run, which recommends none"
    return f"""# An edit that zobench found

{facts["verdict"]}

{data["finding"]} on {data["name"]}, {first} against {second}, encoder `{encoder["name"]}` (digest
{encoder["digest"]}), optimizer `{run.label}`, {run.spent:,} queries, seed {run.config.seed}.
Measured on {data["test_images"]:,} test images; every number with its 95 % interval is in
`bundle.json`.

- `edit.npy`: the edit, float32 `(1, {size}, {size})`, added to images {scale}{nothing}
- `heads.npz`: weights and biases of two linear heads, `disease` on embeddings of images with the
  edit, `sensitive` on those without
- `bundle.json`: preprocessing, encoder, data, scores, names of the images, if they are files
- `load.py`: prepares a picture and applies the heads; needs numpy and Pillow

```python
from load import disease, prepare

image = prepare("film.png")  # send this to {encoder["name"]}: float32, {encoder["image_shape"]}
embedding = ...  # what comes back: {encoder["dimension"]} numbers
print(disease(embedding))  # P({data["finding"]}); scored with the threshold 0.5
```

Where zobench is installed, `zobench embed {encoder["name"]} films/ -o films.csv --edit RUN` embeds
pictures with the edit.

The heads are worth nothing with another encoder, another version of it, or images without the
edit. All this was measured on these data alone: measure again on your own patients before anybody
relies on it.
"""
