"""What a kind of model answered, as V1 and V2 have it: its own outputs, then the version that answered."""

import json
from collections.abc import Sequence
from itertools import repeat
from typing import Any, NamedTuple

from predictors.requests.rows import Options
from predictors.scoring import kind
from predictors.scoring.kind import Answered

VERSION = kind.Output("model_version", "BYTES")
MISSING = "missing_features"
# What an answer holds beside a kind's outputs: none of them may be called so. `error` is a refused row's, in V1.
RESERVED = (VERSION.name, MISSING, "unknown_categories", "row", "refused_row", "refusal", "error")


class Output(NamedTuple):
    """One V2 output of shape [n], of plain values."""

    name: str
    datatype: str
    data: Sequence[Any]


def predictions(answered: Answered, version: str) -> Sequence[dict[str, Any]]:
    """V1: one object a row of the request, in its order; `error` is all that one of a refused row holds.

    Where the online store did not have all features of a row, `missing_features` is how many. Where asked for,
    `unknown_categories` has the values that training did not know, by column.
    """
    columns = (*answered.outputs, VERSION.name)
    found = [dict(zip(columns, row, strict=True)) for row in zip(*answered.outputs.values(), repeat(version))]
    rows = answered.rows
    for answer, missing in zip(found, answered.missing, strict=False):
        if missing:
            answer[MISSING] = missing
    if rows.options.explain_unknown:
        for answer, unknown in zip(found, answered.unknown or repeat({}), strict=False):
            answer["unknown_categories"] = unknown
    return rows.in_order(found)


def names(declared: Sequence[kind.Output], options: Options) -> list[str]:
    """The outputs that a V2 answer to a request with the options has."""
    found = [*(output.name for output in declared), VERSION.name]
    found += ["unknown_categories"] if options.explain_unknown else []
    return found + (["row", "refused_row", "refusal"] if options.partial else [])


def outputs(answered: Answered, declared: Sequence[kind.Output], version: str) -> list[Output]:
    """V2: the kind's `declared` outputs and the version, of n answered rows each.

    Where asked for, `unknown_categories` has an object in JSON an answered row. A partial answer says which rows of the
    request were answered (`row`), and of the m others which and why not (`refused_row`, `refusal`).
    """
    rows = answered.rows
    found = [Output(output.name, output.datatype, answered.outputs[output.name]) for output in declared]
    found.append(Output(VERSION.name, VERSION.datatype, [version] * rows.count))
    if rows.options.explain_unknown:
        unknown = answered.unknown or [{}] * rows.count
        texts = [json.dumps(dict(values), ensure_ascii=False) for values in unknown]
        found.append(Output("unknown_categories", "BYTES", texts))
    if rows.options.partial:
        refused = sorted(rows.refused)
        found.append(Output("row", "INT64", list(rows.numbers)))
        found.append(Output("refused_row", "INT64", refused))
        found.append(Output("refusal", "BYTES", [rows.refused[row] for row in refused]))
    return found
