"""What another kind of model lacks or declares wrongly is told by class and attribute."""

from pathlib import Path
from typing import Any

import pytest

from predictors.declared import check_class, check_kind
from predictors.edge.answers import RESERVED, names
from predictors.requests.rows import Options
from predictors.requests.schema import RequestSchema
from predictors.scoring.kind import Answered, Kind, Output
from serin.errors import ArtifactError

SCORE = Output("score", "FP64")


class Half(Kind):
    """As much of a kind as there can be without what it has to have."""

    def answer(self, rows: Any, found: Any, now: Any) -> Answered:
        raise NotImplementedError


class Whole(Half):
    outputs = (SCORE,)
    schema = RequestSchema.of_columns([])


class Nameless(Whole):
    outputs = (Output("", "BOOL"),)

    def __init__(self, folder: Path) -> None:
        self.folder = folder


def test_class_that_lacks_what_it_has_to_have_is_told_all_of_it() -> None:
    with pytest.raises(
        ArtifactError, match=r"^--kind m:Half: the class has no outputs, schema; allowed is, as outputs: one"
    ):
        check_class("m:Half", Half)
    check_class("m:Whole", Whole)
    check_kind("m:Whole", Whole())


def test_class_that_answers_nothing_is_told_how_to() -> None:
    with pytest.raises(ArtifactError, match=r"has no outputs, schema, answer; .* answer: a method answer\(self, rows,"):
        check_class("m:Kind", Kind)


@pytest.mark.parametrize(
    ("attribute", "value", "told"),
    [
        ("schema", {"text": "text"}, "schema is dict; allowed: a RequestSchema"),
        ("outputs", (), r"outputs is \(\); allowed: one predictors.scoring.kind.Output or more"),
        ("outputs", SCORE, r"outputs is Output\(name='score'.*; allowed: one predictors.scoring.kind.Output or more"),
        ("outputs", ("score",), "outputs holds 'score'; allowed: one predictors.scoring.kind.Output or more"),
        ("outputs", (Output("", "BOOL"),), "outputs has one called ''; allowed: a text"),
        ("outputs", (SCORE, SCORE), "outputs names score more than once; allowed: once"),
        (
            "outputs",
            (Output("row", "INT64"),),
            "outputs has row; allowed: other names than the answer's own, model_ver",
        ),
        ("outputs", (Output("score", "float"),), "outputs has score of datatype 'float'; allowed: BOOL, INT8, "),
        ("logged", ["text"], "logged is list; allowed: a mapping of columns to types"),
        ("logged", {"text": "str"}, "logged has text of type 'str'; allowed: integer, number, text"),
    ],
)
def test_what_can_not_be_served_is_told_with_what_is_allowed(attribute: str, value: Any, told: str) -> None:
    kind = type("Odd", (Whole,), {attribute: value})
    with pytest.raises(ArtifactError, match=f"^--kind m:Odd: {told}"):
        check_kind("m:Odd", kind())


def test_every_name_that_an_answer_has_beside_the_outputs_is_reserved() -> None:
    assert set(names([], Options(partial=True, explain_unknown=True))) <= set(RESERVED)
