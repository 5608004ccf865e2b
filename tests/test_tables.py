"""Tables: straight columns as text, harmless as HTML."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from helpers.tables import Table

WORDS = st.text(alphabet="ab <>&\"'é", min_size=1, max_size=12).filter(lambda w: w == w.strip())


@given(st.lists(st.tuples(WORDS, WORDS, WORDS), max_size=5))
def test_columns_begin_where_their_heads_do(rows: list[tuple[str, str, str]]) -> None:
    table = Table(head=("one", "two", "three"), rows=rows, notes=["that is all"])
    head, _, *lines, note = str(table).split("\n")
    assert repr(table) == str(table)
    assert note == "that is all" and len(lines) == len(rows)
    for row, line in zip(rows, lines, strict=True):
        for name, cell in zip(table.head, row, strict=True):
            assert line[head.index(name) :].startswith(cell)


def test_what_aws_says_cannot_become_markup() -> None:
    html = Table(head=("<b>",), rows=[("<script>",)], notes=["a & b"])._repr_html_()
    assert "<script>" not in html and "&lt;script&gt;" in html
    assert "&lt;b&gt;" in html and "a &amp; b" in html
