"""A small table: text in a terminal, HTML in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise


class Tabular:
    """What is best shown as its ``table``: printed, and as the last line of a cell."""

    @property
    def table(self) -> Table:
        raise NotImplementedError

    def __str__(self) -> str:
        return str(self.table)

    def __repr__(self) -> str:
        return str(self.table)

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


@dataclass(frozen=True, kw_only=True, repr=False)
class Table:
    """Rows of words under ``head``, all of one length; ``notes`` stand below, one a line."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def __str__(self) -> str:
        lines = [self.head, *self.rows]
        starts = [0]
        for column in range(len(self.head)):
            starts.append(starts[-1] + max(len(line[column]) for line in lines) + 2)
        widths = [after - before for before, after in pairwise(starts)]
        texts = [
            "".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        return "\n".join([texts[0], "-" * (starts[-1] - 2), *texts[1:], *self.notes])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        def line(cells: Sequence[str], tag: str) -> str:
            inside = "".join(
                f'<{tag} style="text-align:left">{escape(cell)}</{tag}>' for cell in cells
            )
            return f"<tr>{inside}</tr>"

        body = "".join(line(row, "td") for row in self.rows)
        notes = "".join(f"<div>{escape(note)}</div>" for note in self.notes)
        return f"<table><thead>{line(self.head, 'th')}</thead><tbody>{body}</tbody></table>{notes}"
