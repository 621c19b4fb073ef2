"""Faults of services, on real sockets: the final answer, and the bill."""

from __future__ import annotations

import datetime
import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from rented import connected, films, right, service
from scripted import (
    answers,
    bomb,
    cut_off,
    drip,
    drip_of_headers,
    endless,
    http,
    says,
    scripted,
    tensor,
)
from zobench_encoders.remote.exchange import Call, Connections
from zobench_encoders.remote.request_failure import RequestFailure, retry_delay

from zobench.billing.account import Account
from zobench.errors import ConfigError, CostReached, ModelChanged, ServiceError

ONES = np.ones((4, 3), np.float32)
HTML = http(b"<html><h1>Bad gateway</h1></html>", "502 Bad Gateway", Content_Type="text/html")
DOUBTFUL = {
    "reset in the middle of the answer": cut_off,
    "a slow drip": drip,
    "a slow drip of headers": drip_of_headers,
    "an answer cut in its JSON": says(http(b'{"outputs": [{"na')),
    "a wrong length header": says(http(tensor(ONES), Inference_Header_Content_Length="9999")),
    "a vector twice": answers(lambda found: np.concatenate([found, found[:1]])),
    "a vector too few": answers(lambda found: found[1:]),
    "no vector at all": answers(lambda found: found[:0]),
    "a vector with NaN": answers(lambda found: np.where(found == found.max(), np.nan, found)),
    "vectors of another length": answers(lambda found: found[:, :2]),
    "500": says(http(b"{}", "500 Internal Server Error")),
    "408": says(http(b"{}", "408 Request Timeout")),
    "an error page": says(HTML),
    "a page that says OK": says(http(b"<html>OK</html>")),
    "a bomb": bomb,
    "a body without end": endless,
}  # fmt: skip


@pytest.mark.parametrize("name", DOUBTFUL)
def test_what_may_have_been_worked_on_is_asked_again_and_noted_as_maybe_billed(name: str) -> None:
    seconds = 20.0 if name in ("a bomb", "a body without end") else 0.6
    with service(DOUBTFUL[name], timeout=seconds) as (server, encoder):
        images = films(6)
        assert torch.equal(encoder.embed(images), right(images))
        total = encoder.account.bill.total()
        assert len(server.asked) == 3
        assert (total.images_billed, total.images_maybe_billed) == (1 + 6, 4)
        assert (total.images_sent, total.retries) == (1 + 6 + 4, 1)


BUSY = {
    "with seconds": http(b"{}", "429 Too Many Requests", Retry_After="0.3"),
    "with milliseconds": http(b"{}", "429 Too Many Requests", Retry_After_Ms="300"),
    "without": http(b"{}", "429 Too Many Requests"),
}


@pytest.mark.parametrize("name", BUSY)
def test_what_is_refused_for_now_costs_nothing_and_is_asked_again_when_told(name: str) -> None:
    with service(*[says(BUSY[name])] * 3, retries=0) as (_, encoder):
        started = time.monotonic()
        assert torch.equal(encoder.embed(films(2)), right(films(2)))
        total = encoder.account.bill.total()
        assert (total.images_billed, total.images_maybe_billed, total.retries) == (3, 0, 3)
        if name != "without":
            assert time.monotonic() - started >= 0.9


@pytest.mark.parametrize("status", ["400", "401", "403", "404", "413", "422"])
def test_what_will_fail_again_is_not_asked_again(status: str) -> None:
    refusal = says(http(b'{"error": "no such thing"}', f"{status} No"))
    with service(refusal) as (server, encoder):
        with pytest.raises(ServiceError, match=f'{status} No: .*"no such thing"') as caught:
            encoder.embed(films(2))
        assert (caught.value.status, caught.value.attempts) == (int(status), 1)
        assert len(server.asked) == 1
        assert encoder.account.bill.total().images_payable == 1


def test_of_a_web_page_that_refuses_the_words_are_shown_and_the_address_that_was_asked() -> None:
    page = b"<html><style>p {color: red}</style><title>Nothing&nbsp;here</title>\n<p>No <b>such</b> page"
    refusal = http(page, "404 Not Found", Content_Type="text/html; charset=utf-8")
    with service(says(refusal)) as (server, encoder):
        with pytest.raises(ServiceError) as caught:
            encoder.embed(films(2))
        wanted = f"404 Not Found: Nothing here No such page (asked was {server.url}"
        assert wanted in str(caught.value)


PASSING = {
    "502": says(http(b"{}", "502 Bad Gateway")),
    "503": says(http(b"{}", "503 Service Unavailable", Retry_After="0.05")),
    "504": says(http(b"{}", "504 Gateway Timeout")),
    "408": says(http(b"{}", "408 Request Timeout")),
    "reset in the middle of the answer": cut_off,
}


@pytest.mark.parametrize("name", PASSING)
def test_a_passing_fault_is_asked_again_while_the_wire_is_found_out(name: str) -> None:
    with scripted(PASSING[name]) as server:
        encoder = connected(server.url, wire="auto", timeout=0.6)
        assert len(server.asked) == 2
        assert encoder.spec.settings["wire"] == "binary"
        assert torch.equal(encoder.embed(films(2)), right(films(2)))
        encoder.close()


def test_waiting_for_its_own_rate_is_no_silence_of_the_service() -> None:
    fault = says(http(b"{}", "500 Internal Server Error"))
    with service(fault, rate=60, patience=0.9, connections=1) as (server, encoder):
        assert torch.equal(encoder.embed(films(1)), right(films(1)))
        assert len(server.asked) == 2


def test_a_service_that_answers_every_failure_with_400_is_asked_again() -> None:
    with scripted() as server:
        vectors = says(http(json.dumps([[1.0, 2.0]]).encode()))
        failure = says(http(b'{"error": "out of memory"}', "400 Bad Request"))
        server.script.extend([vectors, failure, vectors])
        encoder = connected(server.url, "huggingface", chunk=1, size=4)
        assert encoder.embed(films(1)).tolist() == [[1.0, 2.0]]
        assert encoder.account.bill.total().images_maybe_billed == 1
        encoder.close()


def test_a_storm_ends_the_run_after_its_last_attempt() -> None:
    storm = [says(http(b"{}", "503 Service Unavailable"))] * 9
    with service(*storm, retries=2) as (server, encoder):
        with pytest.raises(ServiceError, match=r"503 .*\(3 attempts\)"):
            encoder.embed(films(3))
        assert len(server.asked) == 3
        assert encoder.account.bill.total().images_maybe_billed == 9


def test_so_many_failures_in_a_row_open_the_circuit_for_all_connections() -> None:
    storm = [says(http(b"{}", "503 Service Unavailable"))] * 99
    with service(*storm, retries=50, failures=6, connections=3) as (server, encoder):
        with pytest.raises(ServiceError, match="503"):
            encoder.embed(films(40))
        assert 6 <= len(server.asked) <= 6 + 3


def test_busy_for_good_ends_when_patience_does() -> None:
    storm = [says(BUSY["without"])] * 999
    with service(*storm, patience=0.3) as (_, encoder):
        with pytest.raises(ServiceError, match="429"):
            encoder.embed(films(1))
        assert encoder.account.bill.total().images_payable == 1


def test_a_wait_that_is_longer_than_patience_ends_the_run_at_once() -> None:
    later = says(http(b"{}", "429 Too Many Requests", Retry_After="3600"))
    with service(later, patience=3.0) as (server, encoder):
        with pytest.raises(
            ServiceError,
            match=r"asks to wait 3,600 s, but encoder\.patience has 3 s .* encoder\.patience=3603",
        ):
            encoder.embed(films(1))
        assert len(server.asked) == 1


def test_a_wait_of_more_than_a_year_is_no_patience_that_could_be_given() -> None:
    later = says(http(b"{}", "429 Too Many Requests", Retry_After="1e308"))
    with service(later, patience=3.0) as (_, encoder):
        with pytest.raises(ServiceError, match="asks to wait for a year or more: ask") as caught:
            encoder.embed(films(1))
        assert "encoder.patience" not in str(caught.value)


def test_answers_that_came_before_the_end_are_not_asked_again(tmp_path: Path) -> None:
    refusal = says(http(b"{}", "403 Forbidden"))
    with service(answers(lambda found: found), refusal) as (server, encoder):
        images = films(12)
        encoder.open_account(Account(tmp_path))
        with pytest.raises(ServiceError, match="403"):
            encoder.embed(images)
        assert len(server.asked) == 2
        assert torch.equal(encoder.embed(images), right(images))
        assert [len(each.images) for each in server.asked] == [4, 4, 4, 4]
        assert encoder.account.bill.total().images_billed == 1 + 12


def test_a_service_that_is_not_there_is_told_after_a_few_attempts() -> None:
    with scripted() as server:
        url = server.url
    address = url.partition("/v2")[0]
    with pytest.raises(ServiceError, match=f"no connection to {address}: .*4 attempts.*service up"):
        connected(url)


def test_a_redirect_is_named_and_not_followed() -> None:
    with scripted() as other:
        target = f"{other.url}?key=abc"
        away = http(b"", "307 Temporary Redirect", Location=target)
        named = pytest.raises(ServiceError, match=f"it points to {other.url}, where keys")
        with service(says(away)) as (_, encoder), named:
            encoder.embed(films(1))
        assert not other.asked


def test_a_model_that_changes_under_way_ends_the_run_for_good(tmp_path: Path) -> None:
    with service(canary=10) as (server, encoder):
        encoder.open_account(Account(tmp_path))
        encoder.embed(films(8))
        encoder.embed(films(2))
        server.script.append(answers(lambda found: found * 1.01))
        with pytest.raises(ServiceError, match="is not what it was"):
            encoder.embed(films(4))
        assert encoder.account.bill.usage["check"].images_billed == 1 + 10 + 1
        assert encoder.account.recall(next(iter(encoder.account._paid), "")) is None
    with service() as (_, again), pytest.raises(ModelChanged, match="start a new run"):
        again.open_account(Account(tmp_path))


def test_a_wrong_address_ends_no_run_for_good(tmp_path: Path) -> None:
    with service() as (_, encoder):
        encoder.open_account(Account(tmp_path))
        encoder.embed(films(2))
    with scripted(answers(lambda found: found * 1.01)) as server:
        other = connected(server.url)
        with pytest.raises(ServiceError, match="give the address of the model") as caught:
            other.open_account(Account(tmp_path))
        assert not isinstance(caught.value, ModelChanged)
        other.close()
    with service() as (_, again):
        again.open_account(Account(tmp_path))


def test_a_cost_limit_holds_for_retries_too() -> None:
    storm = [says(http(b"{}", "503 Service Unavailable"))] * 9
    with service(*storm, price=1.0) as (server, encoder):
        account = Account(price=1.0, limit=10.0)
        encoder.open_account(account)
        with pytest.raises(CostReached, match="max_cost is 10; 4 more images"):
            encoder.embed(films(8))
        assert account.bill.total().images_payable == 1 + 4 + 4
        assert len(server.asked) == 2


def test_no_time_is_lost_in_hot_loops() -> None:
    now = says(http(b"{}", "429 Too Many Requests", Retry_After="0"))
    with service(*[now] * 999, backoff=0.2, patience=1.0) as (server, encoder):
        with pytest.raises(ServiceError, match="429"):
            encoder.embed(films(1))
        assert len(server.asked) < 8


def test_images_leave_no_faster_than_allowed() -> None:
    with service(rate=1200) as (_, encoder):  # 20 images per second
        started = time.monotonic()
        encoder.embed(films(16))
        assert time.monotonic() - started >= 12 / 20


def test_delays_are_read_from_the_headers_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    now = datetime.datetime.now(datetime.UTC)
    later = (now + datetime.timedelta(seconds=30)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    for without in (later.replace("GMT", "-0000"), f"{now + datetime.timedelta(seconds=30):%c}"):
        assert retry_delay({"retry-after": without}) == pytest.approx(30, abs=2)
    assert retry_delay({"retry-after": "7"}) == 7
    assert retry_delay({"retry-after-ms": "250", "retry-after": "7"}) == 0.25
    assert retry_delay({"retry-after": later}) == pytest.approx(30, abs=2)
    assert retry_delay({"x-ratelimit-reset": str(time.time() + 5)}) == pytest.approx(5, abs=1)
    ahead = str(int(1000 * (time.time() + 5)))
    assert retry_delay({"x-ratelimit-reset": ahead}) == pytest.approx(5, abs=1)
    assert retry_delay({"retry-after": "soon"}) is None
    assert retry_delay({"retry-after": "-3"}) == 0
    for never in ("inf", "1e999", "nan"):
        assert retry_delay({"retry-after": never}) is None
    assert retry_delay({}) is None
    monkeypatch.undo()
    time.tzset()


TEMPLATE = """
request = { model = "$model", input = "$images" }
item = "$base64"
answer = "result.vectors"
"""


def test_a_wrong_answer_path_is_billed_once_and_shows_the_keys_that_are_there(
    tmp_path: Path,
) -> None:
    (tmp_path / "own.toml").write_text(TEMPLATE)
    other = says(http(b'{"embeddings": [[1.0, 2.0]], "usage": 1}'))
    with scripted(*[other] * 9) as server:
        words = r"no 'result' \(of 'result.vectors'\); there are the keys 'embeddings', 'usage'"
        with pytest.raises(ServiceError, match=words) as caught:
            connected(server.url, "custom", template=str(tmp_path / "own.toml"), size=4)
        assert len(server.asked) == 1
        assert caught.value.attempts == 1


def test_a_path_through_two_lists_is_refused_before_an_image_is_billed(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(TEMPLATE.replace("result.vectors", "data[].parts[].vector"))
    with scripted() as server:
        with pytest.raises(ConfigError, match=r"\[\] may stand once"):
            connected(server.url, "custom", template=str(own), size=4)
        assert not server.asked


def test_an_answer_without_embeddings_among_good_ones_is_asked_again(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(TEMPLATE)
    good = says(http(b'{"result": {"vectors": [[1.0, 2.0]]}}'))
    busy = says(http(b'{"error": "overloaded"}'))
    with scripted(*[good] * 9) as server:
        encoder = connected(
            server.url, "custom", template=str(tmp_path / "own.toml"), size=4, chunk=1
        )
        asked = len(server.asked)
        server.script[:] = [busy, good]
        assert encoder.embed(films(1)).tolist() == [[1.0, 2.0]]
        assert len(server.asked) == asked + 2
        encoder.close()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('headers = ["a"]', "must be a table of names and texts"),
        ("headers = { X-Version = 5 }", "value of the header X-Version must be a text"),
        ('headers = { X = "ü" }', "printable ASCII"),
        ('headers = { Content-Length = "3" }', "Content-Length is set by zobench itself"),
        ('header = "X Api Key"', "'X Api Key' cannot be the name of a header"),
    ],
)
def test_headers_that_cannot_be_sent_are_refused_before_a_request(
    tmp_path: Path, line: str, words: str
) -> None:
    (tmp_path / "own.toml").write_text(TEMPLATE + line)
    with scripted() as server:
        with pytest.raises(ConfigError, match=words):
            connected(server.url, "custom", template=str(tmp_path / "own.toml"), size=4)
        assert not server.asked


@pytest.mark.parametrize(
    "proxy", ["socks5://127.0.0.1:1", "ftp://127.0.0.1", "http://127.0.0.1:port", "http://[::1"]
)
def test_a_proxy_that_cannot_be_used_is_named_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(ConfigError, match="the proxy that ALL_PROXY names cannot be used"):
        Connections(secret=None, seconds=1.0, largest=1000, loopback=False)


def test_a_proxy_that_refuses_is_no_doubt_about_the_bill(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(says(http(b"", "501 Not Implemented"))) as server:
        monkeypatch.setenv("ALL_PROXY", server.url.partition("/v2")[0])
        line = Connections(secret=None, seconds=5.0, largest=1000, loopback=False)
        with pytest.raises(RequestFailure, match=r"proxies are set: ALL_PROXY") as caught:
            line.exchange(Call("https://192.0.2.1/v1", b"{}"))
        line.close()
    assert (caught.value.kind, caught.value.billed) == ("unreached", False)
