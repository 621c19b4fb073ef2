"""Tables as programs and archives really write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from zobench_plugins.datasets.columns.reading import read_table

from zobench.errors import DatasetError

LONG = 140_000
"""More characters than a cell may have."""


def written(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "table.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refused(path: Path, words: str, **settings: object) -> None:
    with pytest.raises(DatasetError, match=words):
        read_table(path, **settings)


def test_rows_are_known_by_their_line(tmp_path: Path) -> None:
    path = written(tmp_path, 'a,b\r\n\r\n"1\r\n2",3\r\n,\r\n 4 ,"5,""6"""\r\n')
    table = read_table(path)
    assert table.index.tolist() == [3, 6]
    assert table["a"].tolist() == ["1\r\n2", "4"]
    assert table["b"].tolist() == ["3", '5,"6"']


def test_only_the_needed_columns_are_read_where_no_other_is_wanted(tmp_path: Path) -> None:
    path = written(tmp_path, "x,b,x,,a,\n1,2,3,4,5,\n\n,,,,6,\n")
    table = read_table(path, ("a", "b"), others=False)
    assert table.to_dict("list") == {"b": ["2", ""], "a": ["5", "6"]}
    refused(path, "several columns of one name: x$")
    refused(path, "has no column 'c'; it has x, b, x, a$", needed=("c",))


def test_cells_beyond_the_header_may_be_blank(tmp_path: Path) -> None:
    """As where each row ends with a comma, or a spreadsheet was wider once."""
    for header, rows in (
        ("a,b", "1,2,\n3,4,\n"),
        ("a,b,,", "1,2,,\n3,4,,\n"),
        ("a,b", "1,2\n3,4,, \n"),
    ):
        table = read_table(written(tmp_path, f"{header}\n{rows}"))
        assert table.to_dict("list") == {"a": ["1", "3"], "b": ["2", "4"]}
    for others in (True, False):
        path = written(tmp_path, "a,b\n1,2\n3,4,5\n")
        refused(path, "names 2 columns, but line 3 has 3 cells", needed=("a",), others=others)
    refused(written(tmp_path, "a\n1,2\n"), "names 1 column, but line 2 has 2 cells")


@pytest.mark.parametrize("rest", ["", "6,7\n" * LONG])
def test_a_quotation_mark_that_is_never_closed_is_found(tmp_path: Path, rest: str) -> None:
    path = written(tmp_path, f'a,b\n1,2\n3,"4\n{rest}')
    refused(
        path, "row that begins in line 3 has a (quotation mark that is never|cell of more than)"
    )
    refused(path, "row that begins in line 3 has", needed=("a",), others=False)


def test_a_header_is_read_as_a_row_is(tmp_path: Path) -> None:
    assert list(read_table(written(tmp_path, '"a\nb",c\n1,2\n')).columns) == ["a\nb", "c"]
    refused(
        written(tmp_path, 'a,"b\n1,2\n'), "the header has a quotation mark that is never closed"
    )
    refused(written(tmp_path, ""), "its first line is blank")
    refused(written(tmp_path, ",,\n1,2,3\n"), "its first line is blank")


def test_a_byte_that_is_not_utf_8_is_counted_from_the_beginning(tmp_path: Path) -> None:
    before = "a,b\n" + "1,2\n" * 60_000
    path = written(tmp_path, before.encode() + "José,3\n".encode("latin-1"))
    refused(path, r"byte 240,007, in line 60,002, is 0xe9\); save it as UTF-8")
