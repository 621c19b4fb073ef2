"""``zobench plugin new``: builds, installs, lists, runs and tests the project that it writes."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest
from commands import run_command

from zobench.cli.scaffold import EXAMPLES, registered_name, write_project
from zobench.errors import ConfigError

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial" / "write-an-optimizer.md"
SMALL = [
    *("--budget", "64", "--batch-size", "16", "--snapshots", "1", "--replicates", "20"),
    *("--set", "split.train=40", "--set", "split.test_per_cell=10"),
]


@dataclass(frozen=True)
class Environment:
    """A new virtual environment, where a test installs its plugin.

    Installing zobench again takes minutes, so the environment also imports zobench and its
    dependencies from the environment of the tests. Plugins are found in both environments.
    """

    folder: Path

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    def shell(self, line: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Runs a shell command as if the environment were activated."""
        path = os.pathsep.join([str(self.folder / "bin"), os.environ["PATH"]])
        # no package index: the wheel is a local file, and hatchling is in the tests' environment
        pip = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0"}
        return subprocess.run(
            line,
            shell=True,
            cwd=cwd,
            env={**os.environ, **pip, "PATH": path, "COLUMNS": "120"},
            capture_output=True,
            text=True,
            check=False,
        )

    def run(self, line: str, cwd: Path) -> str:
        done = self.shell(line, cwd)
        assert done.returncode == 0, line + "\n" + done.stdout + done.stderr
        return done.stdout


def fresh_environment(folder: Path) -> Environment:
    venv.create(folder, with_pip=True)
    lent = sysconfig.get_path("purelib")
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "lent.pth").write_text(f"import site; site.addsitedir({lent!r})\n")
    script = folder / "bin" / "zobench"
    script.write_text(f"#!{folder / 'bin' / 'python'}\nfrom zobench.cli import main\nmain()\n")
    script.chmod(0o755)
    return Environment(folder)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project("random-walk", tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def installed(project: Path) -> Environment:
    """A new environment with the scaffolded project, installed from a wheel."""
    environment = fresh_environment(project.parent / "env")
    environment.run(f"pip wheel --quiet -w dist {project}", project.parent)
    environment.run("pip install --quiet dist/zobench_random_walk-*.whl", project.parent)
    return environment


@pytest.mark.lengthy
def test_it_is_listed_under_its_distribution_and_keeps_the_contract(
    installed: Environment, tmp_path: Path
) -> None:
    assert "zobench-random-walk" in installed.run("zobench list optimizers", tmp_path)
    checked = installed.run("zobench plugin check random-walk", tmp_path)
    assert "meets every requirement" in checked


@pytest.mark.lengthy
def test_it_runs_and_the_run_names_its_distribution(installed: Environment, tmp_path: Path) -> None:
    words = " ".join(["zobench run --optimizer random-walk", *SMALL])
    installed.run(words, tmp_path)
    (manifest,) = tmp_path.glob("runs/*/manifest.json")
    assert '"optimizer": "zobench-random-walk"' in manifest.read_text()


@pytest.mark.lengthy
def test_worker_processes_see_it(installed: Environment, tmp_path: Path) -> None:
    (tmp_path / "ask_workers.py").write_text(
        "import joblib\n"
        "from zobench.registry.discovery import load_registry\n"
        "def seen(_):\n"
        "    return load_registry().offers['optimizers']['random-walk'].distribution\n"
        "if __name__ == '__main__':\n"
        "    print(joblib.Parallel(n_jobs=2)(joblib.delayed(seen)(i) for i in range(2)))\n"
    )
    found = installed.run("python ask_workers.py", tmp_path)
    assert found.strip() == "['zobench-random-walk', 'zobench-random-walk']"


@pytest.mark.lengthy
def test_its_own_tests_pass_also_inside_a_project_with_other_options(
    installed: Environment, project: Path
) -> None:
    around = project.parent / "pyproject.toml"
    around.write_text('[tool.pytest.ini_options]\naddopts = "--unknown-to-the-project"\n')
    installed.run("python -m pytest -q", project)
    around.unlink()


@pytest.mark.lengthy
def test_a_broken_distribution_is_named_and_its_removal_heals(
    installed: Environment, project: Path, tmp_path: Path
) -> None:
    (module,) = installed.folder.glob("lib/python*/site-packages/zobench_random_walk.py")
    good = module.read_text()
    try:
        module.write_text("import no_such_module\n")
        done = installed.shell("zobench list", tmp_path)
        assert done.returncode == 2
        assert "'zobench-random-walk'" in done.stderr
        assert "Traceback" not in done.stderr
        installed.run("pip uninstall --quiet --yes zobench-random-walk", tmp_path)
        installed.run("zobench list", tmp_path)
    finally:
        installed.run("pip install --quiet --force-reinstall dist/*.whl", project.parent)
    (module,) = installed.folder.glob("lib/python*/site-packages/zobench_random_walk.py")
    assert module.read_text() == good


@pytest.mark.lengthy
def test_a_built_ins_name_is_nobody_elses(installed: Environment, tmp_path: Path) -> None:
    (module,) = installed.folder.glob("lib/python*/site-packages/zobench_random_walk.py")
    good = module.read_text()
    try:
        module.write_text(good.replace('{"random-walk"', '{"gezo"'))
        done = installed.shell("zobench list", tmp_path)
    finally:
        module.write_text(good)
    assert done.returncode == 2
    assert "'gezo': zobench and zobench-random-walk" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.lengthy
def test_the_file_of_an_installed_plugin_is_checked_in_its_place(
    installed: Environment, project: Path, tmp_path: Path
) -> None:
    """The given file replaces the installed plugin; the plugin is not registered twice."""
    module = project / "zobench_random_walk.py"
    faulty = tmp_path / module.name
    faulty.write_text(module.read_text().replace("self.edit.clone()", "self.edit[0]"))
    done = installed.shell(f"zobench plugin check {faulty}", tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "context.space.shape" in done.stdout


@pytest.mark.lengthy
def test_the_tutorial_works_as_it_is_written(tmp_path: Path) -> None:
    environment = fresh_environment(tmp_path / "env")
    cwd, module = tmp_path, tmp_path / "zobench-momentum-walk" / "zobench_momentum_walk.py"
    blocks = re.findall(r"```(\w+)( [\w-]+)?\n(.*?)```", TUTORIAL.read_text(), flags=re.DOTALL)
    said = ""
    for language, how, text in blocks:
        if language == "python" and "class " in text:
            old = re.search(r"@dataclass.*?(?=\n\n\n@zobench)", module.read_text(), re.DOTALL)
            assert old is not None
            module.write_text(module.read_text().replace(old.group(), text.rstrip()))
        elif language == "python":
            module.write_text(re.sub(r" +remembered = .*\n", text, module.read_text()))
        elif language == "text":
            assert " ".join(text.split()) in " ".join(said.split())
        elif how == " fails":
            done = environment.shell(text, cwd)
            assert done.returncode == 1, done.stdout + done.stderr
            assert "misses 1 requirement\n" in done.stdout
            said = done.stdout
        elif how != " no-run":
            for line in text.splitlines():
                if line.startswith("cd "):
                    cwd = cwd / line.removeprefix("cd ")
                else:
                    said = environment.run(line, cwd)


@pytest.mark.lengthy
def test_every_kind_of_project_installs_passes_its_own_tests_and_works_in_one_run(
    tmp_path: Path,
) -> None:
    environment = fresh_environment(tmp_path / "env")
    kinds = [kind for kind in EXAMPLES if kind != "optimizer"]
    folders = [write_project(f"my-{kind}", tmp_path, kind=kind) for kind in kinds]
    environment.run(f"pip install --quiet {' '.join(map(str, folders))}", tmp_path)
    for folder in folders:
        environment.run("python -m pytest -q tests", folder)
    names = "--encoder my-encoder --dataset my-dataset --disease stripes --objective my-objective"
    words = ["zobench run --optimizer random", names, "--baselines my-method", *SMALL, "--json"]
    result = environment.run(" ".join(words).replace("--budget 64", "--budget 160"), tmp_path)
    for name in ("my-method", "my_metric", "my-encoder"):
        assert name in result


@pytest.mark.lengthy
@pytest.mark.parametrize("kind", [kind for kind in EXAMPLES if kind != "optimizer"])
def test_a_project_of_any_kind_is_checked_where_it_lies(kind: str, tmp_path: Path) -> None:
    folder = write_project(f"my-{kind}", tmp_path, kind=kind)
    options = EXAMPLES[kind].check.split()
    done = run_command("plugin", "check", f"{folder.name}/", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{registered_name(f'my-{kind}', kind)} meets every requirement" in done.stdout


@pytest.mark.parametrize("name", ["Random", "a b", "-a", "a--b", ""])
def test_names_that_make_no_package_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="small letters"):
        write_project(name, tmp_path)


def test_what_to_type_next_is_printed_whole(tmp_path: Path) -> None:
    done = run_command("plugin", "new", "mine", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for line in ("cd zobench-mine", "pip install -e '.[test]'", "plugin check mine", "-m pytest"):
        assert line in done.stdout


def test_a_name_that_is_taken_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    done = run_command("plugin", "new", "gezo", cwd=tmp_path)
    assert done.returncode == 2
    assert "'gezo' is registered by zobench as optimizer" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_kind_without_an_example_names_those_that_have_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"kind is 'encodr' \(did you mean 'encoder'\?\)"):
        write_project("mine", tmp_path, kind="encodr")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    write_project("mine", tmp_path)
    with pytest.raises(ConfigError, match="exists already"):
        write_project("mine", tmp_path)
