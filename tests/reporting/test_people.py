"""The page for those who decide: its error rates by hand, and what it says of the run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html import unescape
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from scored_by_hand import FAIR, HALF, results, scored
from tiny import SIZES, run

from zobench.errors import ConfigError
from zobench.files.json_files import read_json, write_json
from zobench.records.stored_run import StoredRun
from zobench.reporting.people import page, write_people_page
from zobench.reporting.rendering import write_page

WIDER = scored(1000, 2.0, 0.05, 0.55, 0.45, 0.95)  # gap 50, that of ERM is 40
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    return run(tmp_path_factory.mktemp("runs"), optimizer="random", overrides=SIZES)


def test_errors_by_group_are_those_of_the_predictions() -> None:
    made = results(FAIR)  # ERM calls 10, 50, 50 and 90 % of the cells (y, a) = 00, 01, 10, 11
    before = {(e.label, e.group): e.rate.value for e in made.group_errors("erm")}
    assert before == pytest.approx({(1, 0): 50.0, (1, 1): 10.0, (0, 0): 10.0, (0, 1): 50.0})
    after = {(e.label, e.group): e.rate for e in made.group_errors("edit")}
    assert {key: each.value for key, each in after.items()} == pytest.approx(
        dict.fromkeys(before, 30.0)
    )
    assert all(each.low < each.value < each.high for each in after.values())


def test_it_says_what_happened_before_and_after_and_what_it_does_not_show(found: StoredRun) -> None:
    text = unescape(re.sub(r"<[^>]+>", "", page(found))).replace("\xa0", " ")
    assert found.verdict.text in text
    stored = found.files.scores
    assert stored is not None
    wrong = np.array(stored.edits[0].score) <= 0
    cell = (stored.test.label == 1) & (stored.test.sensitive == 0)
    assert f"{100 * wrong[cell].mean():.0f} %" in text
    assert f"{found.spent:,} queries" in text
    assert "What this does not show" in text
    assert "generated images" not in text  # those of the tests stand for real ones
    assert "reweighing" in text


def test_what_harms_is_no_negative_share(found: StoredRun) -> None:
    other = StoredRun(found.location)
    vars(other.files)["scores"] = results(HALF, controls={"placebo": WIDER}).stored
    text = unescape(re.sub(r"<[^>]+>", "", page(other))).replace("\xa0", " ")
    placebo = re.search(r"as the edit: (.*?)\.", text)
    assert placebo is not None
    assert placebo[1] == "it makes the gap larger by 30 %; the edit removes 50 % of the gap"
    assert not re.search(r"removes? [-\N{MINUS SIGN}]", text)


def test_text_from_a_run_is_escaped(found: StoredRun, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for each in found.run_dir.iterdir():
        if each.is_file():
            (folder / each.name).write_bytes(each.read_bytes())
    manifest = read_json(folder / "manifest.json")
    manifest["config"]["disease"] = HOSTILE
    manifest["dataset"]["groups"] = [HOSTILE, "b"]
    write_json(folder / "manifest.json", {**manifest, "files": {}})
    assert HOSTILE not in page(StoredRun(folder))


def test_the_command_wants_one_run_that_is_done(
    found: StoredRun, here: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    done = here("report", str(found.run_dir), "--for", "people", "-o", "page.html")
    assert done.returncode == 0, done.stderr
    assert "<h1>" in (tmp_path / "page.html").read_text()
    done = here("report", str(found.run_dir), "--for", "people", "-o", "page.html")
    assert (done.returncode, "exists already" in done.stderr) == (2, True)
    done = here("report", str(found.run_dir), "--for", "people", "-o", ".", "--force")
    assert (done.returncode, ". is a folder; name a file in it" in done.stderr) == (2, True)
    done = here("report", str(found.run_dir), "--for", "people", "-o", "no/page.html")
    assert (done.returncode, "no is not a folder" in done.stderr) == (2, True)
    done = here("report", str(found.run_dir), "--for", "peple", "-o", "p.html")
    assert (done.returncode, "researchers, people" in done.stderr) == (2, True)
    run(found.run_dir.parent, optimizer="random", seed=1, overrides=SIZES)
    done = here("report", str(found.run_dir.parent), "--for", "people", "-o", "p.html")
    assert (done.returncode, "there are 2 runs" in done.stderr) == (2, True)
    where = ["--where", "seed=1"]
    done = here("report", str(found.run_dir.parent), "--for", "people", "-o", "p.html", *where)
    assert done.returncode == 0, done.stderr


def test_a_folder_whose_name_is_no_utf8_has_a_page(found: StoredRun, tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"odd\xff")
    shutil.copytree(found.run_dir, odd)
    write_people_page(StoredRun(odd), tmp_path / "page.html")
    assert "odd?" in (tmp_path / "page.html").read_text()


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("old")
    code = (
        "import resource, signal\n"
        "from pathlib import Path\n"
        "from zobench.reporting.rendering import write_page\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_page(Path('page.html'), 'new' * 1000)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "/page.html cannot be read or written: File too large" in done.stderr
    assert [each.read_text() for each in tmp_path.iterdir()] == ["old"]


def test_a_link_to_a_page_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.html").write_text("old")
    (tmp_path / "latest.html").symlink_to("real.html")
    write_page(tmp_path / "latest.html", "new")
    assert (tmp_path / "latest.html").is_symlink()
    assert (tmp_path / "real.html").read_text() == "new"


def test_an_unfinished_run_has_no_page(found: StoredRun, tmp_path: Path) -> None:
    manifest = json.loads((found.run_dir / "manifest.json").read_text())
    (tmp_path / "run").mkdir()
    write_json(tmp_path / "run" / "manifest.json", {**manifest, "status": "running", "files": {}})
    with pytest.raises(ConfigError, match="needs a run that is done"):
        write_people_page(StoredRun(tmp_path / "run"), tmp_path / "page.html")
