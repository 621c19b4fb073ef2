"""Discovery of plugins with real entry points of temporary modules."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path

import pytest

from zobench.errors import ConfigError, PluginError
from zobench.registry.discovery import KINDS, load_registry
from zobench.registry.plugin import Plugin


class FakeDistribution(Distribution):
    def __init__(self, name: str) -> None:
        self._name = name

    def read_text(self, filename: str) -> str | None:
        return f"Metadata-Version: 2.1\nName: {self._name}\n" if filename == "METADATA" else None

    def locate_file(self, path: object) -> Path:
        return Path(str(path))


class Shelf:
    """Writes plugin modules and makes their entry points."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, name: str, code: str) -> EntryPoint:
        (self._folder / f"{name}.py").write_text(code)
        entry_point = EntryPoint(name, name, "zobench")
        return entry_point._for(FakeDistribution(f"dist-{name}"))


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield Shelf(tmp_path)
    for name in set(sys.modules) - before:
        del sys.modules[name]


def offering(name: str) -> str:
    return f"""
import zobench

class Thing:
    def __init__(self, context): self.context = context

@zobench.hookimpl
def zobench_register_optimizers():
    return {{"{name}": zobench.Plugin(Thing, "a thing")}}
"""


def test_a_plugin_is_found_with_its_distribution_and_made_without_parameters(shelf: Shelf) -> None:
    registry = load_registry([shelf.put("plug_a", offering("mine"))])
    offer, argument = registry.find("optimizers", "mine")
    assert (offer.distribution, argument) == ("dist-plug_a", "")
    assert offer.plugin.make("context", {}, "optimizer").context == "context"
    with pytest.raises(ConfigError, match="has no parameter 'x'; it has no parameters"):
        offer.plugin.make("context", {"x": 1}, "optimizer")


def test_a_name_taken_twice_names_both_distributions(shelf: Shelf) -> None:
    points = [shelf.put("plug_b", offering("same")), shelf.put("plug_c", offering("same"))]
    with pytest.raises(PluginError, match=r"'same': dist-plug_b and dist-plug_c"):
        load_registry(points)


def test_a_broken_import_names_the_distribution(shelf: Shelf) -> None:
    with pytest.raises(PluginError, match=r"dist-plug_d.*ModuleNotFoundError.*nowhere"):
        load_registry([shelf.put("plug_d", "import nowhere")])


def test_those_who_only_read_are_told_of_a_broken_plugin_and_go_on_without_it(shelf: Shelf) -> None:
    points = [
        shelf.put("plug_x", "import nowhere"),
        shelf.put(
            "plug_y", "import zobench\n@zobench.hookimpl\ndef zobench_register_encoders(): return 1"
        ),
        shelf.put("plug_z", offering("mine")),
    ]
    told: list[str] = []
    registry = load_registry(points, note=told.append)
    assert set(registry.offers["optimizers"]) == {"mine"}
    first, second = told
    assert "dist-plug_x" in first
    assert "dist-plug_y" in second


def test_a_name_taken_twice_is_an_error_also_for_those_who_only_read(shelf: Shelf) -> None:
    points = [shelf.put("plug_b2", offering("same")), shelf.put("plug_c2", offering("same"))]
    with pytest.raises(PluginError, match="dist-plug_b2 and dist-plug_c2"):
        load_registry(points, note=pytest.fail)


@pytest.mark.parametrize("decorated", [True, False])
def test_a_misspelled_hook_names_the_nearest_one(shelf: Shelf, decorated: bool) -> None:
    mark = "@zobench.hookimpl\n" if decorated else ""
    code = f"import zobench\n{mark}def zobench_register_optimisers(): return {{}}"
    with pytest.raises(PluginError, match=r"dist-plug_e.*mean 'zobench_register_optimizers'"):
        load_registry([shelf.put("plug_e", code)])


def test_a_hook_without_its_decorator_does_not_vanish(shelf: Shelf) -> None:
    code = "def zobench_register_datasets(): return {}"
    with pytest.raises(PluginError, match=r"dist-plug_f.*lacks the\s+@zobench.hookimpl"):
        load_registry([shelf.put("plug_f", code)])


@pytest.mark.parametrize("answer", ["None", "['gezo']", "{'a': 3}"])
def test_a_hook_that_answers_nonsense_names_the_distribution(shelf: Shelf, answer: str) -> None:
    code = f"import zobench\n@zobench.hookimpl\ndef zobench_register_encoders(): return {answer}"
    with pytest.raises(PluginError, match=r"dist-plug_g.*must return a mapping"):
        load_registry([shelf.put("plug_g", code)])


def test_an_optimizer_around_another_says_that_it_wraps(shelf: Shelf) -> None:
    code = (
        "import zobench\n@zobench.hookimpl\n"
        "def zobench_register_optimizers(): return {'a': zobench.Plugin(print, argument='optimizer')}"
    )
    with pytest.raises(PluginError, match=r"dist-plug_w.*'a' is an optimizer; .*wraps=True"):
        load_registry([shelf.put("plug_w", code)])


@pytest.mark.parametrize("flag", ["wraps", "borrows"])
@pytest.mark.parametrize(
    ("kind", "settings"), [("encoders", "argument='encoder', "), ("optimizers", "")]
)
def test_only_an_optimizer_with_an_argument_wraps_or_borrows(
    shelf: Shelf, kind: str, settings: str, flag: str
) -> None:
    code = (
        "import zobench\n@zobench.hookimpl\n"
        f"def zobench_register_{kind}(): return {{'a': zobench.Plugin(print, {settings}{flag}=True)}}"
    )
    with pytest.raises(PluginError, match=rf"dist-plug_{kind}.*'a' has {flag}=True"):
        load_registry([shelf.put(f"plug_{kind}", code)])


def test_no_plugin_wraps_and_borrows(shelf: Shelf) -> None:
    code = (
        "import zobench\n@zobench.hookimpl\ndef zobench_register_optimizers(): "
        "return {'a': zobench.Plugin(print, argument='encoder', wraps=True, borrows=True)}"
    )
    with pytest.raises(PluginError, match="'a' has both wraps=True and borrows=True"):
        load_registry([shelf.put("plug_both", code)])


def test_a_hook_with_arguments_is_refused(shelf: Shelf) -> None:
    code = "import zobench\n@zobench.hookimpl\ndef zobench_register_encoders(config): return {}"
    with pytest.raises(PluginError, match=r"dist-plug_args.* takes arguments, but is given none"):
        load_registry([shelf.put("plug_args", code)])


def test_those_who_only_read_go_on_without_a_metric_that_cannot_be_loaded(shelf: Shelf) -> None:
    code = (
        "import zobench\n@zobench.hookimpl\n"
        "def zobench_register_metrics(): return {'mine': zobench.Plugin('nowhere:X')}"
    )
    point, told = shelf.put("plug_metric", code), list[str]()
    with pytest.raises(PluginError, match="metric 'mine' of distribution 'dist-plug_metric'"):
        _ = load_registry([point]).metrics
    assert load_registry([point], note=told.append).metrics == ()
    (sentence,) = told
    assert "'dist-plug_metric'" in sentence


def test_a_hook_that_fails_names_the_distribution(shelf: Shelf) -> None:
    code = "import zobench\n@zobench.hookimpl\ndef zobench_register_encoders(): return 1 / 0"
    with pytest.raises(PluginError, match=r"dist-plug_h.*ZeroDivisionError"):
        load_registry([shelf.put("plug_h", code)])


def test_every_registered_plugin_can_be_imported_and_declares_its_parameters() -> None:
    registry = load_registry()
    for kind in KINDS:
        for offer in registry.offers[kind].values():
            if kind == "metrics":
                assert offer.plugin.load().summary
                continue
            assert offer.plugin.summary
            assert isinstance(offer.plugin.parameters(), type)


def test_arguments_after_a_colon_are_required_or_refused() -> None:
    registry = load_registry()
    assert registry.find("encoders", "timm:resnet18")[1] == "resnet18"
    with pytest.raises(ConfigError, match="timm:<model>"):
        registry.find("encoders", "timm")
    with pytest.raises(ConfigError, match="takes nothing after a colon"):
        registry.find("encoders", "efficientnet-lite0:large")
    assert registry.find("encoders", "vit-mae")[1] == ""
    assert registry.find("encoders", "vit-mae:plain")[1] == "plain"


def test_an_unknown_name_gets_the_nearest_known_one() -> None:
    with pytest.raises(ConfigError, match=r"optimizer 'gezoo' is not known \(did you mean 'gezo'"):
        load_registry().find("optimizers", "gezoo")


def test_parameters_that_are_no_dataclass_are_refused() -> None:
    def target(context: object, parameters: int) -> None: ...

    with pytest.raises(
        PluginError, match=r"'parameters' is annotated .*int.*; it must be annotated with"
    ):
        Plugin(target, "x").parameters()

    def bare(context: object, parameters) -> None: ...

    with pytest.raises(
        PluginError, match="'parameters' has no annotation; it must be annotated with"
    ):
        Plugin(bare, "x").parameters()


@pytest.mark.parametrize("name", ["queries", "recovery", "Gap", "a-b"])
def test_a_metric_may_not_take_the_name_of_another_thing_in_json(shelf: Shelf, name: str) -> None:
    code = f"""
import zobench

GAP = zobench.Metric(name="{name}", heading="gap", summary="a gap", from_counts=lambda counts: 0.0)

@zobench.hookimpl
def zobench_register_metrics():
    return {{"{name}": zobench.Plugin(GAP)}}
"""
    registry = load_registry([shelf.put("plug_m", code)])
    with pytest.raises(PluginError, match=r"dist-plug_m.*needs another name"):
        _ = registry.metrics


def test_what_a_plugin_prints_goes_to_standard_error(
    shelf: Shelf, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = load_registry([shelf.put("plug_p", "print('imported')" + offering("loud"))])
    registry.find("optimizers", "loud")[0].plugin.make("context", {}, "optimizer")
    out, errors = capsys.readouterr()
    assert (out, errors) == ("", "imported\n")


@pytest.mark.parametrize("name", ["", "a:b", "../x", "a b", "-a"])
def test_a_name_that_nobody_could_type_is_refused(shelf: Shelf, name: str) -> None:
    with pytest.raises(PluginError, match="'dist-plug_n' registers the name"):
        load_registry([shelf.put("plug_n", offering(name))])
