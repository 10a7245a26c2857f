"""Scores as the answers of V1 and V2."""

import json
from dataclasses import dataclass
from typing import Any

from predictors.scoring.tabular import Scores

# Name and V2 datatype of what every answer holds.
OUTPUTS = (("score", "FP64"), ("decision", "BOOL"), ("model_version", "BYTES"))


@dataclass(frozen=True)
class Output:
    """One V2 output of shape [n]."""

    name: str
    datatype: str
    data: list[Any]


def predictions(result: Scores, version: str) -> list[dict[str, Any]]:
    """V1: one object a row of the request, in its order; `error` is all that one of a refused row holds.

    Where asked for, `unknown_categories` has the values that training did not know, by column.
    """
    options, refused = result.rows.options, result.rows.refused
    answers: dict[int, dict[str, Any]] = {row: {"error": problem} for row, problem in refused.items()}
    scored = zip(result.rows.numbers, result.scores, result.decisions, result.unknown, strict=True)
    for row, score, decision, unknown in scored:
        answers[row] = {"score": score, "decision": decision, "model_version": version}
        if options.explain_unknown:
            answers[row]["unknown_categories"] = unknown
    return [answers[row] for row in sorted(answers)]


def outputs(result: Scores, version: str) -> list[Output]:
    """V2: OUTPUTS, of n scored rows each.

    Where asked for, `unknown_categories` has an object in JSON a scored row. A partial answer says which rows of the
    request were scored (`row`), and of the m others which and why not (`refused_row`, `refusal`).
    """
    rows = result.rows
    data: tuple[list[Any], ...] = (result.scores, result.decisions, [version] * rows.count)
    found = [Output(name, datatype, values) for (name, datatype), values in zip(OUTPUTS, data, strict=True)]
    if rows.options.explain_unknown:
        texts = [json.dumps(unknown, ensure_ascii=False) for unknown in result.unknown]
        found.append(Output("unknown_categories", "BYTES", texts))
    if rows.options.partial:
        refused = sorted(rows.refused)
        found.append(Output("row", "INT64", list(rows.numbers)))
        found.append(Output("refused_row", "INT64", refused))
        found.append(Output("refusal", "BYTES", [rows.refused[row] for row in refused]))
    return found
