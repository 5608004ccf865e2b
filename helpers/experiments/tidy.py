"""A tidy table: a row an observation, a column a variable. CSV always, parquet where possible."""

from __future__ import annotations

import csv
import gzip
import io
import os
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from helpers.errors import ExperimentError
from helpers.tables import Table, Tabular

NO_PARQUET = "No parquet: the package pyarrow is not installed here. The CSV holds the same."
FRACTION = 6
"""Digits after the point."""
_SHOWN = 30


@dataclass(frozen=True, kw_only=True, repr=False)
class Tidy(Tabular):
    """Rows of texts, numbers and ``None`` (not measured) under ``columns``.

    Numbers carry six digits after the point, so that the same pictures give the same bytes.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    @classmethod
    def of(cls, columns: Sequence[str], records: Iterable[Mapping[str, Any]]) -> Tidy:
        """From records; what one does not name is ``None``."""
        rows = (tuple(_plain(record.get(name)) for name in columns) for record in records)
        return cls(columns=tuple(columns), rows=tuple(rows))

    def __len__(self) -> int:
        return len(self.rows)

    def records(self) -> Iterator[dict[str, Any]]:
        """Each row as ``{column: value}``; ``pandas.DataFrame(table.records())`` takes it."""
        return (dict(zip(self.columns, row, strict=True)) for row in self.rows)

    def where(self, **wanted: Any) -> Tidy:
        """The rows in which every named column has that value. Raises ``ExperimentError``."""
        places = {self._place(name): value for name, value in wanted.items()}
        rows = [row for row in self.rows if all(row[k] == one for k, one in places.items())]
        return Tidy(columns=self.columns, rows=tuple(rows))

    def column(self, name: str) -> list[Any]:
        """One variable of all rows. Raises ``ExperimentError`` for an unknown one."""
        place = self._place(name)
        return [row[place] for row in self.rows]

    def values(self, name: str) -> list[Any]:
        """The different values of a variable, in the order in which they appear."""
        return list(dict.fromkeys(self.column(name)))

    def write_csv(self, path: Path) -> Path:
        """Write it whole or not at all; ``None`` becomes an empty field.

        A name that ends in ``.gz`` has it compressed.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self.rows)
        content = text.getvalue().encode()
        return _write(path, gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)

    @classmethod
    def read_csv(cls, path: Path, kinds: Mapping[str, type]) -> Tidy:
        """What ``write_csv`` wrote. ``kinds`` says ``str`` or ``int`` of columns that are no
        ``float``; an empty field is ``None``, and "" in a column of texts.

        Raises ``ExperimentError`` for a file that is missing or damaged.
        """
        try:
            content = path.read_bytes()
            text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
            head, *rows = csv.reader(io.StringIO(text, newline=""))
            read = [kinds.get(name, float) for name in head]
            return cls(
                columns=tuple(head),
                rows=tuple(
                    tuple(
                        kind(field) if field or kind is str else None
                        for kind, field in zip(read, row, strict=True)
                    )
                    for row in rows
                ),
            )
        except (OSError, EOFError, zlib.error, ValueError, csv.Error) as error:
            raise ExperimentError(f"the table {path.name} cannot be read", str(error)) from error

    def write_parquet(self, path: Path) -> Path:
        """The same as parquet. Raises ``ExperimentError`` where pyarrow is not installed."""
        if find_spec("pyarrow") is None:
            raise ExperimentError(
                "parquet cannot be written", "the package pyarrow is not installed", "use the CSV"
            )
        import pyarrow  # type: ignore[import-not-found]
        from pyarrow import parquet  # type: ignore[import-not-found]

        sink = io.BytesIO()
        columns = {name: self.column(name) for name in self.columns}
        parquet.write_table(pyarrow.table(columns), sink)
        return _write(path, sink.getvalue())

    @property
    def table(self) -> Table:
        rows = [tuple(map(_shown, row)) for row in self.rows[:_SHOWN]]
        more = len(self.rows) - len(rows)
        return Table(
            head=self.columns, rows=rows, notes=[f"… and {more} more rows."] if more else []
        )

    def _place(self, name: str) -> int:
        if name not in self.columns:
            raise ExperimentError(
                f"the table has no column {name!r}", "", f"it has {', '.join(self.columns)}"
            )
        return self.columns.index(name)


def _plain(value: Any) -> Any:
    if isinstance(value, (bool, str, int)) or value is None:
        return value
    # Rounding leaves a zero with a sign, which would read as another number.
    return round(float(value), FRACTION) + 0.0


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return path
