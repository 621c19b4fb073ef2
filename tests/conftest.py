"""Fixtures for all tests: a small encoder, a small dataset, and the folder of real films."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import hypothesis
import pytest

# workers share the cores, so that they do not slow each other; set before NumPy and torch are imported
if (workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))) > 1:
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # a thread that waits sleeps

os.environ.pop("COLUMNS", None)  # the shell's: tests look for lines that must not be wrapped

# a shell may start pytest with SIGINT ignored; processes that tests start must not inherit that
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

from served import Served, served
from tiny import tiny_plugin, write_suite

from zobench.cli import main

hypothesis.settings.register_profile("unhurried", deadline=None)  # machines may be slow
hypothesis.settings.load_profile("unhurried")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option ``--lengthy``."""
    parser.addoption(
        "--lengthy",
        choices=("without", "only", "too"),
        default="without",
        help="tests that take minutes of their own: leave them out, run only them, or run them, too",
    )


LEFT_OUT = pytest.StashKey[set[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Prepares the set of lengthy tests that are left out."""
    config.stash[LEFT_OUT] = set()
    if config.pluginmanager.hasplugin("xdist") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_LeftOutByWorkers(config))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Does not import modules without lengthy tests where only those are wanted."""
    if config.getoption("--lengthy") != "only" or collection_path.suffix != ".py":
        return None
    return "lengthy" not in collection_path.read_text() or None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """One worker more than there are logical cores: many tests wait for processes and servers."""
    from joblib import cpu_count  # it loads NumPy, which would read the number of threads too early

    return None if os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS") else cpu_count() + 1


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Selects tests by ``--lengthy``; if all run, the lengthy tests run first."""
    wanted = config.getoption("--lengthy")
    lengthy = [item for item in items if item.get_closest_marker("lengthy") is not None]
    short = [item for item in items if item.get_closest_marker("lengthy") is None]
    kept = {"without": short, "only": lengthy, "too": [*lengthy, *short]}[wanted]
    if wanted == "without":
        config.stash[LEFT_OUT] |= {item.nodeid for item in lengthy}
    dropped = set(items) - set(kept)
    config.hook.pytest_deselected(items=[item for item in items if item in dropped])
    items[:] = kept


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Sends the tests that an xdist worker has left out to the main process."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = sorted(session.config.stash[LEFT_OUT])


class _LeftOutByWorkers:
    """Collects the lengthy tests that workers have left out."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object) -> None:
        """Adds the tests that a worker has left out."""
        self._config.stash[LEFT_OUT] |= set(getattr(node, "workeroutput", {}).get("left_out", ()))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Names the lengthy tests that were left out, and the command that runs them."""
    left_out = config.stash[LEFT_OUT]
    if left_out:
        names = ", ".join(sorted({Path(each.partition("::")[0]).stem for each in left_out}))
        terminalreporter.section("left out")
        terminalreporter.line(f"{len(left_out)} lengthy tests of {names}")
        terminalreporter.line("run them with: python -m pytest --lengthy only")


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Sets one new cache folder for the whole session, also for other workers and child processes."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "cache"
    folder.mkdir(exist_ok=True)
    before = os.environ.get("ZOBENCH_CACHE")
    os.environ["ZOBENCH_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["ZOBENCH_CACHE"]
    else:
        os.environ["ZOBENCH_CACHE"] = before


@pytest.fixture(scope="module")
def tiny_installed() -> Iterator[None]:
    """Makes the tiny plugin available in this process and in child processes."""
    with tiny_plugin():
        yield


@pytest.fixture(scope="module")
def server(tiny_installed: None) -> Iterator[Served]:
    """A server process of ``zobench serve --encoder tiny`` for the tests of a module."""
    with served() as found:
        yield found


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs commands in this process, which is faster than a new process, and in a new folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["zobench", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out = capfd.readouterr()
        return subprocess.CompletedProcess(arguments, int(ended.value.code or 0), out.out, out.err)

    return call


@pytest.fixture
def suite_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes a suite file."""
    return partial(write_suite, tmp_path)


@pytest.fixture(scope="session")
def films_root() -> Path:
    """Folder of the real chest X-rays."""
    named = os.environ.get("ZOBENCH_TEST_FILMS")
    root = Path(named) if named else Path(__file__).parents[2] / "shared" / "nih-cxr"
    if not (root / "Data_Entry_2017.csv").is_file():
        pytest.skip(f"no real films at {root}; set ZOBENCH_TEST_FILMS to a ChestX-ray14 folder")
    return root
