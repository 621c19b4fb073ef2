"""Wrong words on the command line and in suite files: exit 2 and one message, at once."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from commands import InProcess

pytestmark = pytest.mark.usefixtures("tiny_installed")

TINY = ["--encoder", "tiny", "--dataset", "tiny", "--disease", "spots"]
MANY_DIGITS = "9" * 5_000
FULL_WIDTH = "\uff11\uff12\uff18"
ARABIC = "\u0661\u0662\u0668"

NUMBERS = {
    "--seed": "-1",
    "--budget": "0",
    "--batch-size": "0",
    "--backward-cost": "-1",
    "--snapshots": "0",
    "--replicates": "9",
    "--penalty": "-0.1",
    "--tolerance": "101",
    "--box": "-1",
    "--max-cost": "-1",
    "--quantize": "7",
}
"""Each option of a number, with a value that breaks its rule."""

HUGE = ("100000000000000000000", "1e30", MANY_DIGITS)

RUNS: list[list[str]] = [
    *([option, wrong] for option, wrong in NUMBERS.items()),
    *([option, value] for option in NUMBERS for value in (FULL_WIDTH, ARABIC, "1_0", "", " ", "x")),
    *([option, value] for option in NUMBERS for value in HUGE),
    *([option, value] for option in ("--penalty", "--box") for value in ("nan", "inf", "-inf")),
    *([option, "1", option, "1"] for option in NUMBERS),
    ["--snapshots", "100000000"],
    ["--replicates", "100000000"],
    ["--batch-size", "100000000"],
    ["--space", f"lowres:{MANY_DIGITS}"],
    ["--space", f"lowres:{FULL_WIDTH}"],
    ["--space", "lowres:-1"],
    ["--space", "lowres:1e2"],
    ["--space", "dct:"],
    ["--space", ""],
    ["--out", ""],
    ["--out", " "],
    ["--device", "cuda:99999999999"],
    ["--device", f"cuda:{FULL_WIDTH}"],
    ["--optimizer", ""],
    ["--optimizer", "x" * 5_000],
    ["--optimizer", "gezo\x1b[2J"],
    ["--optimizer", "gezo:argument"],
    ["--encoder", "timm:"],
    ["--encoder", "timm:" + "x" * 900],
    ["--disease", "\n"],
    ["--tracker", "nothing"],
    ["--set", "optimizer.samples=1", "--set", "optimizer.samples=2"],
    ["--set", "optimizer.samples=1", "--set", " optimizer.samples =1"],
    ["--set", f"optimizer.samples={MANY_DIGITS}"],
    ["--set", f"optimizer.samples={FULL_WIDTH}"],
    ["--set", "optimizer.samples=1_0"],
    ["--set", "optimizer.samples=1000000000"],
    ["--set", "optimizer.samples=true"],
    ["--set", "optimizer.step=1e400"],
    ["--set", "optimizer.step=nan"],
    ["--set", "optimizer.step="],
    ["--set", "optimizer.=1"],
    ["--set", "optimizer"],
    ["--set", ""],
    ["--set", f"{'x' * 3_000}.step=1"],
    ["--set", f"optimizer.{'x' * 3_000}=1"],
    ["--set", "split.train=100000000000"],
    ["--set", "split.test_per_cell=100000000000"],
    ["--set", "split.gap=2"],
    ["--encoder-url", "http://127.0.0.1", "--encoder", "vit-mae"],
]

SUITES = {
    "deep lists": "seeds = " + "[" * 3_000 + "]" * 3_000,
    "deep tables": "a." * 3_000 + "b = 1",
    "ten million seeds": "seeds = 10000000",
    "a long seed": f"seeds = [{MANY_DIGITS}]",
    "a negative seed": "seeds = [-1]",
    "a true seed": "seeds = [true]",
    "seeds that are true": "seeds = true",
    "a true target": "targets = [true]",
    "a large target": "targets = [2]",
    "targets out of order": "targets = [0.5, 0.1]",
    "no optimizer": "optimizers = []",
    "optimizers of numbers": "optimizers = [1]",
    "a name of two kinds": 'optimizers = [{name = "random", set = 1}]',
    "an unknown key": 'optimizers = ["random"]\nseed = 1',
    "a long key": f'optimizers = ["random"]\n"{"k" * 4_000}" = 1',
    "a key that clears the screen": 'optimizers = ["random"]\n"\\u001b[2J" = 1',
    "a huge snapshot count": 'optimizers = ["random"]\n[run]\nsnapshots = 100000000',
    "a budget of text": 'optimizers = ["random"]\n[run]\nbudget = "many"',
    "a long space": f'optimizers = ["random"]\nspaces = ["lowres:{MANY_DIGITS}"]',
    "a million runs": 'optimizers = ["random"]\nseeds = 10000\nspaces = ['
    + ", ".join(f'"lowres:{number}"' for number in range(1, 30))
    + "]",
    "a duplicate": 'optimizers = ["random", "random"]',
    "a parameter twice": 'optimizers = [{name = "random", set = {step = 1, step = 2}}]',
    "no TOML": "optimizers = [",
    "control characters": "optimizers = ['\x01']",
    "two megabytes": "# " + "x" * 2_000_000,
}

OTHERS: list[list[str]] = [
    ["show", ""],
    ["show", "nowhere"],
    ["resume", ""],
    ["verify", ".", "--queries", "0"],
    ["verify", ".", "--queries", MANY_DIGITS],
    ["suite", ""],
    ["suite", "nowhere.toml"],
    ["suite", ".", "--jobs", "1000000"],
    ["suite", ".", "--cpus-per-run", "-1"],
    ["report", "", "--out", "x.html"],
    ["compare", "", ""],
    ["gate", "", "--baseline", "x.json"],
    ["probe", "--images", "1"],
    ["probe", "--seed", "-1"],
    ["probe", "--set", "optimizer.step=0.02"],
    ["serve", "--max-body", "0"],
    ["serve", "--max-body", "99999999999"],
    ["serve", "--fail-rate", "2"],
    ["serve", "--latency", "inf"],
    ["serve", "--port", "70000"],
    ["serve", "--name", ".."],
    ["serve", "--token-env", "ZOBENCH_NO_SUCH_VARIABLE"],
    ["serve", "--token-env", ""],
    ["plugin", "new", ""],
    ["plugin", "new", "class"],
    ["plugin", "new", "none"],
    ["plugin", "new", "a" * 100],
    ["plugin", "new", "../up"],
    ["plugin", "new", "Ünï"],
    ["list", "nothing"],
]


def refused(done: subprocess.CompletedProcess[str], words: object) -> None:
    assert done.returncode == 2, (words, done.stderr[-500:])
    assert "Traceback" not in done.stderr
    assert len(done.stderr) < 4_000
    assert "\x1b" not in done.stderr
    told = done.stderr.count("error:") + done.stderr.count("─ Error ─")
    assert told == 1, (words, done.stderr)


@pytest.mark.parametrize("words", RUNS, ids=lambda words: " ".join(words)[:60])
def test_wrong_words_of_a_run(words: list[str], here: InProcess, tmp_path: Path) -> None:
    base = TINY if "--encoder" not in words else TINY[2:]
    base = [] if "--disease" in words else base
    refused(here("run", *base, *words), words)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", SUITES)
def test_wrong_words_in_a_suite_file(name: str, here: InProcess, tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    head = 'encoders = ["tiny"]\ndatasets = ["tiny"]\ndiseases = ["spots"]\n'
    content = SUITES[name]
    if "optimizers" not in content and name != "no TOML":
        content = f'optimizers = ["random"]\n{content}'
    path.write_text(head + content)
    refused(here("suite", str(path)), name)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("words", OTHERS, ids=lambda words: " ".join(words)[:60])
def test_wrong_words_of_other_commands(words: list[str], here: InProcess) -> None:
    refused(here(*words), words)


@pytest.mark.parametrize(("token", "word"), [("", "is empty"), ("secret ", "blanks around it")])
def test_a_token_that_no_header_carries_is_refused(
    here: InProcess, monkeypatch: pytest.MonkeyPatch, token: str, word: str
) -> None:
    monkeypatch.setenv("ZOBENCH_SERVE_TOKEN", token)
    done = here("serve", "--encoder", "tiny", "--port", "0")
    refused(done, "token")
    assert word in done.stderr
    assert "secret" not in done.stderr


def test_there_are_as_many_wrong_words_as_the_documents_say() -> None:
    assert len(RUNS) + len(SUITES) + len(OTHERS) + 1 >= 200
