from urllib.parse import quote

import pytest

from predictors.edge.errors import MAX_HEADER, fit_header


@pytest.mark.parametrize("text", ["", "row 0: AMOUNT: missing", "é" * 900])
def test_text_that_fits_a_header_stays_as_it_is(text: str) -> None:
    assert fit_header(text) == text


@pytest.mark.parametrize("text", ["x" * 6001, "\n" * 10_000, "\U0001f4b3" * 4000])
def test_text_that_no_header_holds_is_cut(text: str) -> None:
    short = fit_header(text)
    assert MAX_HEADER / 2 < len(quote(short)) <= MAX_HEADER
    assert (text.startswith(short[:-1]), short[-1]) == (True, "…")
