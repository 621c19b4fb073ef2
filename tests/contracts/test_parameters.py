from __future__ import annotations

from dataclasses import dataclass

import pytest

from zobench.config import RunConfig, config_from_json, parse_overrides
from zobench.contracts.parameters import declarations, essential, parameter, resolve
from zobench.errors import ConfigError


@dataclass(frozen=True)
class Example:
    step: float = parameter(0.01, "a step", low=0, high=1)
    count: int = parameter(3, "a count", low=1)
    mode: str = parameter("fast", "a mode", choices=("fast", "slow"))
    loud: bool = parameter(False, "a flag")


@dataclass(frozen=True)
class Travelled:
    step: float = parameter(0.01, "a step", low=0)
    lanes: int = parameter(4, "how many at a time", low=1, incidental=True)


def test_what_cannot_change_a_result_is_checked_but_not_essential() -> None:
    assert essential(resolve(Travelled, {"lanes": "9"}, "x")) == {"step": 0.01}
    with pytest.raises(ConfigError, match=r"x\.lanes is '0', but must be a whole number"):
        resolve(Travelled, {"lanes": "0"}, "x")


def test_texts_become_the_declared_types() -> None:
    found = resolve(Example, {"step": "0.5", "count": "7", "mode": "slow", "loud": "true"}, "x")
    assert found == Example(0.5, 7, "slow", True)


def test_an_unknown_name_gets_the_nearest_known_one() -> None:
    with pytest.raises(ConfigError, match=r"x has no parameter 'stpe' \(did you mean 'step'"):
        resolve(Example, {"stpe": "1"}, "x")


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("step", "2", "from 0 to 1"),
        ("step", "nan", "from 0 to 1"),
        ("step", "fast", "a number"),
        ("count", "0", "from 1 to 1,000,000"),
        ("count", "1.5", "a whole number"),
        ("count", True, "a whole number"),
        ("mode", "medium", "one of fast, slow"),
        ("loud", "perhaps", "true or false"),
    ],
)
def test_a_value_outside_its_rule_names_value_rule_and_default(
    name: str, value: object, rule: str
) -> None:
    with pytest.raises(ConfigError, match=rule) as caught:
        resolve(Example, {name: value}, "x")
    assert f"x.{name} is {value!r}" in str(caught.value)
    assert "default" in str(caught.value)


def test_declarations_tell_type_default_help_and_range() -> None:
    step = declarations(Example)["step"]
    assert (step.type, step.default, step.help, step.low, step.high) == (
        float,
        0.01,
        "a step",
        0,
        1,
    )


@pytest.mark.parametrize("setting", ["step=1", "optimizer.step", "optimizer.=3", "=", "a.b.c"])
def test_a_setting_of_another_form_is_explained(setting: str) -> None:
    with pytest.raises(ConfigError, match=r"owner\.name=value"):
        parse_overrides([setting])


def test_a_setting_for_nobody_names_the_owners() -> None:
    with pytest.raises(ConfigError, match="did you mean 'optimizer'"):
        parse_overrides(["optimiser.step=1"])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("budget", 63),
        ("batch_size", 0),
        ("seed", -1),
        ("penalty", -0.1),
        ("penalty", float("nan")),
        ("heads", "deep"),
        ("precision", "fp16"),
        ("snapshots", 0),
        ("replicates", 1),
        ("backward_cost", -1),
        ("tolerance", float("inf")),
    ],
)
def test_a_config_names_the_field_that_breaks_its_rule(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"{field} is {value!r}, but must be"):
        RunConfig(**{field: value})


def test_a_config_survives_json() -> None:
    config = RunConfig(budget=1000, overrides={"optimizer": {"step": "0.02"}})
    assert config_from_json(config.as_dict()) == config
    with pytest.raises(ConfigError, match=r"unknown field 'bugdet' \(did you mean 'budget'"):
        config_from_json({"bugdet": 3})
