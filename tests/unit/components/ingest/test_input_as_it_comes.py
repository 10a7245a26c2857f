"""From a file as it comes to checked rows, through the use case that `serin new` proposes for it."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from components.ingest.rules import Checked, check
from serin import tables
from serin.errors import DataError
from serin.scaffold.proposal import propose
from serin.use_case import UseCase


def proposed(tmp_path: Path, text: str, **named: Any) -> tuple[tables.Table, UseCase]:
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    table = tables.read(str(path))
    given = {"name": "leavers", "label": "left", "entities": ["id"], "unread_rows": len(table.bad_lines)}
    return table, propose(table.frame, **(given | named)).case


def checked(tmp_path: Path, text: str, **named: Any) -> Checked:
    table, case = proposed(tmp_path, text, **named)
    return check(table.frame, case, "t.csv", lines=table.bad_lines)


def lines(count: int = 60, **changes: str) -> str:
    """A table of `id,age,left`; `changes` replace whole lines by number, such as `line_5`."""
    whole = ["id,age,left", *(f"{1000 + place},{20 + place % 50},{int(place % 3 == 0)}" for place in range(count))]
    for name, line in changes.items():
        whole[int(name.removeprefix("line_")) - 1] = line
    return "\n".join(whole)


def test_rows_of_too_few_and_too_many_fields_are_quarantined_with_their_lines(tmp_path: Path) -> None:
    found = checked(tmp_path, lines(line_7="1005,25", line_9="1007,27,0,1", line_61="10"))
    assert len(found.good) == 57
    assert not found.good.isna().any(axis=None)
    assert found.bad["row"].isna().all()
    assert found.bad["reason"].tolist() == [
        "line 7: 2 fields where the column names are 3 (found '1005,25')",
        "line 9: 4 fields where the column names are 3 (found '1007,27,0,1')",
        "line 61: 1 field where the column names are 3 (found '10')",
    ]


def test_rows_that_can_not_be_read_count_as_bad(tmp_path: Path) -> None:
    table, case = proposed(tmp_path, lines(line_7="1005,25", line_8="1006,26", line_9="1007", line_10="1008"))
    assert case.data.max_bad_share == 0.07
    strict = case.model_copy(update={"data": case.data.model_copy(update={"max_bad_share": 0.05})})
    with pytest.raises(
        DataError, match=r"4 of 60 rows break a rule; .*2 fields where .* \(2 rows\).*Examples: line 7: 2"
    ):
        check(table.frame, strict, "t.csv", lines=table.bad_lines)


def test_blank_numbers_are_missing_values_and_their_rows_stay(tmp_path: Path) -> None:
    found = checked(tmp_path, lines(line_7="1005,    ,1", line_8="1006,  44 ,0"))
    assert len(found.bad) == 0
    ages = found.good.set_index("id")["age"]
    assert pd.isna(ages[1005])
    assert ages[1006] == 44


def test_keys_with_leading_zeros_stay_apart(tmp_path: Path) -> None:
    found = checked(tmp_path, lines(line_7="0417,30,1", line_8="417,30,0"))
    assert len(found.bad) == 0
    assert found.good["id"].nunique() == 60
    assert {"0417", "417"} <= set(found.good["id"])


def test_key_with_a_leading_zero_is_no_integer_key_of_a_later_table(tmp_path: Path) -> None:
    _, case = proposed(tmp_path, lines())
    (tmp_path / "later.csv").write_text(lines(line_7="0417,30,1", line_8="417,30,0"))
    later = tables.read(str(tmp_path / "later.csv"))
    found = check(later.frame, case, "later.csv", lines=later.bad_lines)
    assert 417 in set(found.good["id"])
    assert found.bad["id"].tolist() == ["0417"]
    assert found.bad["reason"].tolist() == ["id: not a whole number (64 bits) (found '0417')"]


@pytest.mark.parametrize("words", [("Yes", "No"), ("fraud", "legit"), ("2", "1")])
def test_label_in_words_is_0_and_1_after_ingest(tmp_path: Path, words: tuple[str, str]) -> None:
    text = "\n".join(
        [f"{line[:-1]}{words[line[-1] == '0']}" if line[0] == "1" else line for line in lines().split("\n")]
    )
    found = checked(tmp_path, text, positive=words[0])
    expected = checked(tmp_path, lines())
    assert found.good["left"].tolist() == expected.good["left"].tolist()


def test_word_that_is_no_declared_outcome_is_quarantined(tmp_path: Path) -> None:
    words = lines().replace(",1\n", ",Yes\n").replace(",0\n", ",No\n").rpartition("\n")[0]
    _, case = proposed(tmp_path, words, positive="Yes")
    (tmp_path / "later.csv").write_text(words.replace("1005,25,No", "1005,25,Yess"))
    later = tables.read(str(tmp_path / "later.csv"))
    found = check(later.frame, case, "later.csv", lines=later.bad_lines)
    assert found.bad["left"].tolist() == ["Yess"]


def test_numbers_in_declared_notations_keep_their_values(tmp_path: Path) -> None:
    rows = [f'{1000 + place};"{place % 9}.{place:03d},5";{place % 100},5 %;{place % 2}' for place in range(60)]
    found = checked(tmp_path, "id;balance;rate;left\n" + "\n".join(rows))
    assert found.good["balance"].tolist() == [place % 9 * 1000 + place + 0.5 for place in range(60)]
    assert found.good["rate"].tolist() == pytest.approx([(place % 100 + 0.5) / 100 for place in range(60)])
