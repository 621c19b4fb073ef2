"""The bill: its rows survive a kill, and requests without outcome count as possibly billed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from zobench.billing.account import PAID, Account
from zobench.billing.bill import BILL, BILL_END, Usage, read_bill, write_end
from zobench.contracts.purpose import Purpose
from zobench.errors import DamagedError, StoreError
from zobench.files.location import Location
from zobench.files.row_files import read_rows

VECTORS = np.arange(6, dtype=np.float32).reshape(2, 3)


def spend(account: Account) -> None:
    """Sends four requests: one answered, one refused, one too late, then one answered retry."""
    account.purpose = Purpose.SETUP
    account.answered(account.sent("a", 2, 100, retry=False), 40, VECTORS)
    account.purpose = Purpose.OPTIMIZE
    account.failed(account.sent("b", 5, 200, retry=False), "429", billed=False)
    account.failed(account.sent("b", 5, 200, retry=True), "late", billed=True)
    account.answered(account.sent("b", 5, 200, retry=True), 60)


SETUP = Usage(1, 0, 2, 2, 0, 100, 40)
OPTIMIZE = Usage(3, 2, 15, 5, 5, 600, 60)


def test_every_image_is_counted_by_what_became_of_it(tmp_path: Path) -> None:
    account = Account(tmp_path, price=0.5)
    spend(account)
    bill = account.bill
    assert (bill.usage["setup"], bill.usage["optimize"]) == (SETUP, OPTIMIZE)
    told = bill.as_dict()
    assert told["total"]["images_sent"] == 17
    assert (told["cost"], told["cost_at_most"]) == (3.5, 6.0)
    assert read_bill(tmp_path, 0.5) == bill


def test_a_bill_that_is_opened_again_goes_on(tmp_path: Path) -> None:
    spend(Account(tmp_path))
    again = Account(tmp_path)
    assert again.bill.usage["optimize"] == OPTIMIZE
    number = again.sent("c", 1, 10, retry=False)
    assert number == 4
    again.answered(number, 5)
    assert read_bill(tmp_path, 0.0) == again.bill


def test_an_answer_is_kept_until_it_is_used(tmp_path: Path) -> None:
    spend(Account(tmp_path))
    again = Account(tmp_path)
    found = again.recall("a")
    assert found is not None
    assert np.array_equal(found, VECTORS)
    assert again.recall("b") is None
    again.settle()
    assert again.recall("a") is None
    assert not list((tmp_path / PAID).iterdir())
    assert Account(tmp_path).recall("a") is None


KILLED = """
import os, sys
import numpy as np
from pathlib import Path
from zobench.billing.account import Account
account = Account(Path(sys.argv[1]))
account.answered(account.sent("a", 2, 100, retry=False), 40, np.ones((2, 3), np.float32))
account.sent("b", 5, 200, retry=False)
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_process_left_open_may_be_billed(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert done.returncode == -9
    read = read_bill(tmp_path, 0.0)
    assert read is not None
    assert read.total() == Usage(2, 0, 7, 2, 5, 300, 40)
    account = Account(tmp_path)
    assert account.bill == read
    assert account.recall("a") is not None
    assert Account(tmp_path).bill == read  # the bill counts the lost request once


def test_an_answer_whose_note_is_missing_was_billed_for_certain(tmp_path: Path) -> None:
    account = Account(tmp_path)
    account.answered(account.sent("a", 2, 100, retry=False), 40, VECTORS)
    lines = (tmp_path / BILL).read_bytes().splitlines(keepends=True)
    (tmp_path / BILL).write_bytes(lines[0] + lines[1][:9])  # killed while it wrote the second row
    write_end(Location.of(tmp_path), 1, read_rows(tmp_path / BILL).end)
    again = Account(tmp_path)
    assert again.bill.total().images_billed == 2
    assert again.bill.total().images_maybe_billed == 0
    assert again.recall("a") is not None


def test_a_damaged_answer_is_asked_again(tmp_path: Path) -> None:
    spend(Account(tmp_path))
    (tmp_path / PAID / "a.safetensors").write_bytes(b"\x93NUMPY")
    again = Account(tmp_path)
    assert again.recall("a") is None
    assert again.lost == 1


def test_a_damaged_bill_is_named(tmp_path: Path) -> None:
    (tmp_path / BILL).write_text('{"request": 1, "is": "answered", "bytes": 3}\n')
    with pytest.raises(StoreError, match=r"bill\.jsonl is damaged"):
        read_bill(tmp_path, 0.0)
    with pytest.raises(StoreError, match=r"bill\.jsonl is damaged"):
        Account(tmp_path)


@pytest.mark.parametrize("name", [BILL, BILL_END])
@pytest.mark.parametrize("length", [None, 0, 10, 25])
def test_a_bill_that_was_cut_short_is_noticed(
    tmp_path: Path, name: str, length: int | None
) -> None:
    spend(Account(tmp_path))
    file = tmp_path / name
    if length is None:
        file.unlink()
    else:
        rows = file.read_bytes().splitlines(keepends=True)
        file.write_bytes(b"".join(rows[:-1]) + rows[-1][:length])
    with pytest.raises(DamagedError):
        read_bill(tmp_path, 0.0)
    with pytest.raises(DamagedError):
        Account(tmp_path)


def test_what_was_asked_before_a_run_began_is_taken_over(tmp_path: Path) -> None:
    before = Account()
    spend(before)
    account = Account(tmp_path)
    account.answered(account.sent("x", 1, 1, retry=False), 1)
    account.take_over(before)
    assert account.bill.usage["optimize"] == OPTIMIZE
    assert account.bill.total().images_sent == 18
    assert read_bill(tmp_path, 0.0) == account.bill


def test_a_limit_counts_what_may_be_billed_and_keeps_the_reserve(tmp_path: Path) -> None:
    account = Account(tmp_path, price=0.1, limit=2.0)
    spend(account)  # 7 images billed and 5 possibly billed
    assert account.affords(8)
    assert not account.affords(9)
    account.set_aside(lambda images: 6, besides=0)
    assert account.affords(2, keeping_reserve=True)
    assert not account.affords(3, keeping_reserve=True)
    assert Account(price=0.1).affords(10**9)


def test_threads_lose_nothing(tmp_path: Path) -> None:
    account = Account(tmp_path)

    def ask(name: str) -> None:
        for number in range(50):
            account.answered(account.sent(f"{name}{number}", 1, 10, retry=False), 4)

    threads = [threading.Thread(target=ask, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = [json.loads(line) for line in (tmp_path / BILL).read_text().splitlines()]
    assert sorted(row["request"] for row in rows if row["is"] == "sent") == list(range(200))
    assert read_bill(tmp_path, 0.0) == account.bill
    assert account.bill.total().images_billed == 200


def test_a_disk_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    account = Account(tmp_path / "gone")
    with pytest.raises(StoreError, match="cannot be read or written"):
        account.sent("a", 1, 1, retry=False)
    assert not os.path.exists(tmp_path / "gone")
