"""Tables as datasets and people write them."""

import pandas as pd
import pytest
from mammo.pipeline.datasets.adapters.tabular_files import locate_table, numbered_rows, read_table, whole_number


def rows(path, text, columns=("a",), optional=("b",)):
    path.write_bytes(text.encode("utf-8-sig"))
    return list(numbered_rows(read_table(path, columns, optional)))


@pytest.mark.parametrize("missing", ["", "NA", "N/A", "nan", "NaN", "None", " ", "null"])
def test_every_way_to_write_a_missing_cell_is_the_empty_text(tmp_path, missing):
    assert rows(tmp_path / "t.csv", f"a,b\n 1 ,{missing}\n") == [(1, {"a": "1", "b": ""})]


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "a;b\r\n1;2\r\n", "a\tb\n1\t2", " B ,A\n2,1\n", '"a","b"\n"1","2"'])
def test_separators_line_ends_quotes_and_spelling_of_columns_do_not_matter(tmp_path, text):
    assert rows(tmp_path / "t.csv", text) == [(1, {"a": "1", "b": "2"})]


def test_empty_rows_count_but_are_left_out_and_texts_may_hold_line_breaks(tmp_path):
    assert rows(tmp_path / "t.csv", 'a,b\n\n"x\ny",2\n3\n') == [(2, {"a": "x\ny", "b": "2"}), (3, {"a": "3", "b": ""})]


@pytest.mark.parametrize("body", ["1,2\n3,4,5\n", "3,4,5\n1,2\n"])
def test_rows_with_too_many_cells_are_refused(tmp_path, body):
    with pytest.raises(ValueError, match=r"t\.csv: cannot be read as a table .* in quotes"):
        rows(tmp_path / "t.csv", "a,b\n" + body)


def test_a_workbook_reads_like_its_csv(tmp_path):
    frame = pd.DataFrame({"a": [1, 2], "b": ["NA", "x "], "c": [0.5, 0.25]})
    frame.to_excel(tmp_path / "t.xlsx", index=False)
    frame.to_csv(tmp_path / "t.csv", index=False)
    read = [list(numbered_rows(read_table(tmp_path / name, ("a", "b")))) for name in ("t.xlsx", "t.csv")]
    assert read[0] == read[1] == [(1, {"a": "1", "b": ""}), (2, {"a": "2", "b": "x"})]


def test_missing_columns_and_empty_files_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"t\.csv: the column 'c' is missing; expected a, c, found a, b"):
        rows(tmp_path / "t.csv", "a,b\n1,2\n", ("a", "c"))
    with pytest.raises(ValueError, match=r"t\.csv: cannot be read as a table"):
        rows(tmp_path / "t.csv", "")


def test_the_shallowest_copy_of_the_first_name_is_taken(tmp_path):
    for name in ("x/y/a.csv", "x/a.csv", "x/y/z/b.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert locate_table(tmp_path, "b.csv", "a.csv") == tmp_path / "x" / "a.csv"
    with pytest.raises(ValueError, match=r"b\.csv not found here or up to two folders below"):
        locate_table(tmp_path, "b.csv")
    with pytest.raises(ValueError, match="is not a folder"):
        locate_table(tmp_path / "nowhere", "b.csv")


@pytest.mark.parametrize(("text", "number"), [("64", 64), ("64.0", 64), ("064Y", 64), ("", None), ("-1", None),
                                              ("64.5", None), ("131", None), ("006M", None)])  # fmt: skip
def test_whole_numbers_in_range(text, number):
    assert whole_number(text, 0, 130) == number
