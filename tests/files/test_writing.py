"""Files for other programs are there whole or not at all, and no word in them is a formula."""

import io
import math

import pandas as pd
import pytest

from simstudy.files.writing import (
    atomic_path,
    escape_formulas,
    parse_csv,
    read_csv,
    save_csv,
    save_rows,
)

FRAME = pd.DataFrame(
    {
        "method": ["=1+1", "+x", "-1", "@sum(a)", "\tx", "opg", "'quoted'"],
        "value": [-1.0, *range(6)],
    }
)


def test_words_that_begin_a_formula_are_defused_and_numbers_are_left(tmp_path):
    found = escape_formulas(FRAME.rename(columns={"value": "=value"}))
    assert found["method"].tolist() == [
        "'=1+1",
        "'+x",
        "'-1",
        "'@sum(a)",
        "'\tx",
        "opg",
        "'quoted'",
    ]
    assert list(found) == ["method", "'=value"]
    assert found["'=value"].tolist() == FRAME["value"].tolist()


def test_what_is_saved_is_read_as_it_was(tmp_path):
    save_csv(FRAME, tmp_path / "a.csv")
    assert "\n'=1+1," in (tmp_path / "a.csv").read_text()
    pd.testing.assert_frame_equal(read_csv(tmp_path / "a.csv"), FRAME)


def test_rows_are_written_as_a_frame_of_them(tmp_path):
    frame = FRAME.assign(number=[0.1, float("nan"), 1e-300, 3, -2.5, 1 / 3, 7], told=True, n=7)
    save_csv(frame, tmp_path / "frame.csv")
    save_rows(frame.to_dict("records"), list(frame), tmp_path / "rows.csv")
    assert (tmp_path / "rows.csv").read_bytes() == (tmp_path / "frame.csv").read_bytes()


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def half():
        with atomic_path(path) as draft:
            draft.write_text("ne")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        half()
    assert path.read_text() == "old"
    with atomic_path(path) as draft:
        draft.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_every_version_of_pandas_reads_every_digit(monkeypatch):
    """Against Python's own reading; what is a word stays one, numbers beyond all range do not."""
    written = "b,m,k\n1.0202339663590723,1e400,7\n-2.4e-300,x,8\n-1e400,,9\n,y,9\n"
    plain, asked = pd.read_csv, []

    def older(source, float_precision=None, **options):
        """Read numbers beyond all range as words, as versions before 3.1 do."""
        asked.append(float_precision)
        frame = plain(source, dtype={"b": object}, **options)
        return frame.assign(k=frame["k"].astype(int))

    newest = parse_csv(io.StringIO(written))
    monkeypatch.setattr(pd, "__version__", "2.2.3")
    monkeypatch.setattr(pd, "read_csv", older)
    oldest = parse_csv(io.StringIO(written))
    assert asked == ["round_trip"]
    for frame in (newest, oldest):
        assert frame["b"].tolist()[:3] == [1.0202339663590723, -2.4e-300, -math.inf]
        assert math.isnan(frame["b"][3])
        assert frame["m"].tolist()[:2] == ["1e400", "x"]
        assert frame["k"].tolist() == [7, 8, 9, 9]
