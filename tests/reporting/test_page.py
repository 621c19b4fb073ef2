"""The page in a real browser: no network, no errors; tables sort and filter, charts toggle."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import chrome
from commands import run_command
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select
from tiny import SIZES, run

from zobench.files.json_files import read_json, write_json

HOSTILE = '</script><script>document.title="caught"</script><img src=x onerror="alert(1)">'
DEADLINE = 30


pytestmark = pytest.mark.lengthy


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of two optimizers and two problems, with names that contain code."""
    folder = tmp_path_factory.mktemp("page")
    for seed in range(2):
        for name in ("random", "adam"):
            run(folder / "runs", optimizer=name, overrides=SIZES, seed=seed)
    first = min((folder / "runs").iterdir())
    manifest = read_json(first / "manifest.json")
    manifest["error"] = HOSTILE
    manifest["config"]["disease"] = HOSTILE
    manifest["config"]["overrides"]["optimizer"] = {"name": HOSTILE}
    manifest["parameters"]["optimizer"]["name"] = HOSTILE
    write_json(first / "manifest.json", manifest)
    words = ["report", str(folder / "runs"), "-o", str(folder / "report.html"), "--title", HOSTILE]
    done = run_command(*words)
    assert done.returncode == 0, done.stderr
    again = run_command(*words)
    assert again.returncode == 2
    assert "exists already" in again.stderr
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser(page: Path) -> Iterator[webdriver.Chrome]:
    made = chrome(page.parent)
    made.get("about:blank")
    made.get_log("performance")  # drops the requests made before the page was opened
    made.get(page.as_uri())
    yield made
    made.quit()


def visible(browser: webdriver.Chrome, table: str, column: int) -> list[str]:
    rows = browser.find_elements(By.CSS_SELECTOR, f"#{table} tbody tr:not(.level)")
    cells = [each.find_elements(By.XPATH, "./*")[column] for each in rows if each.is_displayed()]
    return [each.text.split("\n")[0] for each in cells]


def test_it_asks_for_nothing_logs_nothing_and_runs_nobody_elses_code(
    browser: webdriver.Chrome, page: Path
) -> None:
    assert browser.title == HOSTILE
    assert browser.get_log("browser") == []
    messages: list[dict[str, Any]] = [
        json.loads(each["message"])["message"] for each in browser.get_log("performance")
    ]
    asked = {
        each["params"]["request"]["url"]
        for each in messages
        if each["method"] == "Network.requestWillBeSent"
    }
    assert {each for each in asked if not each.startswith(("data:", "chrome"))} == {page.as_uri()}
    assert len(browser.find_elements(By.CSS_SELECTOR, "section img[onerror]")) == 0


def test_charts_are_drawn_and_a_name_hides_its_line(browser: webdriver.Chrome) -> None:
    for name in ("curves", "runtimes", "tradeoffs"):
        assert browser.find_elements(By.CSS_SELECTOR, f"#{name} .trace"), name
    entry = browser.find_element(By.CSS_SELECTOR, "#runtimes .legendtoggle")
    before = len(browser.find_elements(By.CSS_SELECTOR, "#runtimes .scatterlayer .trace"))
    browser.execute_script(
        "for (const kind of ['mousedown', 'mouseup'])"
        " arguments[0].dispatchEvent(new MouseEvent(kind, {bubbles: true}))",
        entry,
    )
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        if len(browser.find_elements(By.CSS_SELECTOR, "#runtimes .scatterlayer .trace")) < before:
            return
        time.sleep(0.1)
    pytest.fail("the line is still there")


def test_a_heading_sorts_both_ways(browser: webdriver.Chrome) -> None:
    Select(browser.find_element(By.ID, "problem")).select_by_visible_text("tiny/spots tiny")
    headings = browser.find_elements(By.CSS_SELECTOR, "#results-table thead th")
    column = next(place for place, each in enumerate(headings) if "accuracy" in each.text)
    seen = {}
    for _ in range(2):
        headings[column].find_element(By.TAG_NAME, "button").click()
        found = [
            [
                float(row.find_elements(By.XPATH, "./*")[column].text.split("\n")[0])
                for row in body.find_elements(By.CSS_SELECTOR, "tr:not(.level)")
                if row.is_displayed()
            ]
            for body in browser.find_elements(By.CSS_SELECTOR, "#results-table tbody")
        ]
        assert len(set(found[0])) > 1  # ERM and the no-query baselines
        seen[headings[column].get_attribute("aria-sort")] = found
    assert seen == {
        "ascending": [sorted(each) for each in found],
        "descending": [sorted(each, reverse=True) for each in found],
    }


def test_the_filter_the_problem_and_the_target_choose_what_is_shown(
    browser: webdriver.Chrome,
) -> None:
    chosen = Select(browser.find_element(By.ID, "problem"))
    chosen.select_by_visible_text("tiny/spots tiny")
    box = browser.find_element(By.ID, "filter")
    box.send_keys("gradient")
    assert visible(browser, "results-table", 0) == ["adam"]
    levels = browser.find_elements(By.CSS_SELECTOR, "#results-table .level")
    assert [each.text for each in levels if each.is_displayed()] == ["gradient feedback"]
    box.clear()
    box.send_keys(" ")
    everything = {}
    for place in range(2):
        chosen.select_by_index(place)
        everything[place] = visible(browser, "results-table", 0)
    assert sorted(map(len, everything.values())) == [
        5,
        6,
    ]  # ERM, three baselines, and one optimizer or both
    target = Select(browser.find_element(By.ID, "target"))
    target.select_by_visible_text("0.5")
    shown = browser.find_elements(By.CSS_SELECTOR, "#results-table thead .of-target")
    assert [each.get_attribute("data-target") for each in shown if each.is_displayed()] == ["2"] * 2


def test_the_cost_of_the_way_back_changes_the_ledger(browser: webdriver.Chrome) -> None:
    def spent() -> dict[str, int]:
        names, queries = visible(browser, "ledger", 0), visible(browser, "ledger", 4)
        return {n: int(q.replace(",", "")) for n, q in zip(names, queries, strict=True)}

    Select(browser.find_element(By.ID, "problem")).select_by_visible_text("tiny/spots tiny")
    before = spent()
    box = browser.find_element(By.ID, "cost")
    box.clear()
    box.send_keys("5")
    after = spent()
    assert before["adam"] % 3 == 0
    assert after["adam"] == 2 * before["adam"]  # 1 + 5 instead of 1 + 2
    assert all(after[name] == before[name] for name in before if name != "adam")
    box.send_keys(Keys.BACKSPACE)
    assert spent() == before  # without a number, each run's own


def test_cells_that_are_empty_on_the_page_are_empty_in_its_file(
    browser: webdriver.Chrome, page: Path
) -> None:
    browser.find_element(By.CSS_SELECTOR, "[data-csv=results-table]").click()
    path, deadline = page.parent / "results-table.csv", time.monotonic() + DEADLINE
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert not [row["optimizer"] for row in rows if row["accuracy"] is None]  # headings of levels
    erm = next(row for row in rows if row["optimizer"] == "ERM (no edit)")
    assert [erm[name] for name in ("FPQ", "recovery", "ERT", "success")] == [""] * 4
    assert erm["accuracy"]
    assert float(erm["accuracy low"]) <= float(erm["accuracy"]) <= float(erm["accuracy high"])
    assert {"FPQ low", "FPQ high", "ERT low", "ERT high"} <= set(rows[0])


def test_nothing_is_offered_to_be_sent_elsewhere(browser: webdriver.Chrome) -> None:
    titles = {
        str(each.get_attribute("data-title"))
        for each in browser.find_elements(By.CSS_SELECTOR, ".modebar-btn")
    }
    assert titles
    assert not [each for each in titles if "share" in each.lower() or "cloud" in each.lower()]


def test_tables_and_buttons_have_names_and_what_scrolls_can_be_reached(
    browser: webdriver.Chrome,
) -> None:
    unnamed = browser.execute_script(
        "return [...document.querySelectorAll('table')].filter("
        "(each) => !each.getAttribute('aria-label') && !each.getAttribute('aria-labelledby')).length"
    )
    assert unnamed == 0
    buttons = browser.find_elements(By.CSS_SELECTOR, "[data-csv]")
    names = [each.get_attribute("aria-label") for each in buttons]
    assert len(set(names)) == len(names) == 6
    assert not browser.find_elements(By.CSS_SELECTOR, ".scroll:not([tabindex='0'])")
    assert not browser.find_elements(By.CSS_SELECTOR, "thead th:not([scope])")


def test_the_numbers_behind_a_chart_are_a_table_and_a_file(
    browser: webdriver.Chrome, page: Path
) -> None:
    details = browser.find_element(By.CSS_SELECTOR, "details[data-of=curves]")
    details.find_element(By.TAG_NAME, "summary").click()
    deadline = time.monotonic() + DEADLINE
    while not (found := details.find_elements(By.CSS_SELECTOR, "tbody tr")):
        assert time.monotonic() < deadline  # the table is filled when it is opened
        time.sleep(0.05)
    rows = len(found)
    assert rows > 20
    details.find_element(By.TAG_NAME, "button").click()
    path = page.parent / "curves-numbers.csv"
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    with path.open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == rows
    assert {"optimizer", "queries", "recovery", "low", "high"} == set(table[0])


def test_nothing_is_wider_than_a_phone(browser: webdriver.Chrome) -> None:
    size = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.refresh()
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert wide == 390
