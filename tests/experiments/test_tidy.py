"""The tidy table: exact bytes, honest about what is missing."""

from __future__ import annotations

import csv
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.errors import ExperimentError
from helpers.experiments.measured import Measured
from helpers.experiments.tidy import NO_PARQUET, Tidy

TABLE = Tidy.of(
    ("name", "step", "value"),
    [{"name": "a, b", "step": 0, "value": 1 / 3}, {"name": "c", "step": 5, "value": -1e-9}, {}],
)


def test_the_csv_is_what_was_measured_to_six_digits(tmp_path: Path) -> None:
    text = TABLE.write_csv(tmp_path / "new" / "table.csv").read_text()
    assert text == 'name,step,value\n"a, b",0,0.333333\nc,5,0.0\n,,\n'
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["table.csv"]


def test_rows_are_found_by_their_values() -> None:
    assert TABLE.where(name="c", step=5).column("value") == [0.0]
    assert TABLE.values("step") == [0, 5, None]
    assert list(TABLE.where(step=5).records()) == [{"name": "c", "step": 5, "value": 0.0}]
    for wrong in (lambda: TABLE.where(steps=5), lambda: TABLE.column("steps")):
        with pytest.raises(ExperimentError, match=r"no column 'steps'.*name, step, value"):
            wrong()


def test_a_long_table_is_shown_in_part_and_says_so() -> None:
    long = Tidy.of(("k",), [{"k": k} for k in range(45)])
    assert "15 more rows" in str(long) and "more rows" not in str(TABLE)


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8", exclude_characters="\r\0")),
                          st.integers(), st.floats(-1e6, 1e6))))  # fmt: skip
def test_any_table_reads_back(rows: list[tuple[str, int, float]]) -> None:
    import tempfile

    table = Tidy.of(("a", "b", "c"), [dict(zip("abc", row, strict=True)) for row in rows])
    with tempfile.TemporaryDirectory() as folder:
        with table.write_csv(Path(folder, "t.csv")).open(newline="", encoding="utf-8") as file:
            found = list(csv.reader(file))[1:]
        packed = table.write_csv(Path(folder, "t.csv.gz"))
        assert Tidy.read_csv(packed, {"a": str, "b": int}) == table
    assert [(a, int(b)) for a, b, _ in found] == [(a, b) for a, b, _ in rows]
    assert [float(c) for *_, c in found] == pytest.approx([c for *_, c in rows], abs=1e-6)


def test_what_was_not_measured_reads_back_as_that(tmp_path: Path) -> None:
    table = Tidy.of(("name", "step", "value"), [{"name": "", "step": 1}, {"name": "b", "value": 2}])
    path = table.write_csv(tmp_path / "t.csv")
    assert Tidy.read_csv(path, {"name": str, "step": int}).rows == (("", 1, None), ("b", None, 2.0))


@pytest.mark.parametrize("content", [b"", b"a,b\n1\n", b"a,b\n1,x\n", b"\xff\xfe", None])
def test_a_damaged_table_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ExperimentError, match=r"table t\.csv cannot be read"):
        Tidy.read_csv(path, {})


@pytest.mark.parametrize("kept", [0, 5, -1])
def test_half_a_packed_table_is_none(kept: int, tmp_path: Path) -> None:
    path = TABLE.write_csv(tmp_path / "t.csv.gz")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ExperimentError, match="cannot be read"):
        Tidy.read_csv(path, {"name": str, "step": int})


def test_parquet_is_written_where_it_can_be_and_missed_aloud_where_not(tmp_path: Path) -> None:
    measured = Measured(pictures=TABLE, summary=TABLE, costs=TABLE)
    paths, note = measured.save(tmp_path)
    kinds = [".csv"] * 4
    if find_spec("pyarrow"):
        assert note == ""
        kinds += [".parquet"] * 3
    else:
        assert note == NO_PARQUET
        with pytest.raises(ExperimentError, match="pyarrow is not installed"):
            TABLE.write_parquet(tmp_path / "t.parquet")
    assert [path.suffix for path in paths] == kinds
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)
