"""The drift decision: one test a rule and a limit."""

import math

import pytest

from components.drift.decision import column_limits, decide, noise_floor, too_few_rows
from serin.errors import DataError
from serin.use_case import Drift

LIMITS = Drift(min_rows=1000, column_limit=0.2, max_share=0.5)
QUIET = {"amount": 0.01, "count": 0.02, "hour": 0.0, "rate": 0.03, "score": 0.01}
AT_LIMIT = dict.fromkeys(QUIET, 0.2)


def judge(rows=1000, ignore=(), **measures):
    return decide({**QUIET, **measures}, AT_LIMIT, rows=rows, limits=LIMITS, ignore=ignore)


def test_decide_with_nothing_over_a_limit():
    decision = judge()
    assert (decision.verdict, decision.retrain, decision.share, decision.drifted) == ("no_drift", False, 0.0, ())
    assert decision.reasons == ("0 of 4 inputs drifted (0%); 50% (max_share) make a drift of their own",)


def test_decide_with_one_row_too_few_never_retrains():
    decision = judge(rows=999, amount=9.0, count=9.0, rate=9.0, score=9.0)
    assert (decision.verdict, decision.retrain) == ("too_few_rows", False)
    assert decision.reasons == ("999 rows of the served version in the window; at least 1,000 (min_rows) are needed",)


def test_decide_at_min_rows_judges():
    assert judge(rows=1000, score=9.0).verdict == "drift"


def test_decide_without_rows_needs_no_measures():
    assert decide({}, {}, rows=0, limits=LIMITS).verdict == "too_few_rows"


def test_decide_at_max_share_is_drift():
    decision = judge(amount=0.5, count=0.3)
    assert (decision.verdict, decision.retrain, decision.share) == ("drift", True, 0.5)


def test_decide_below_max_share_names_the_columns_and_goes_on():
    decision = judge(amount=0.5)
    assert (decision.verdict, decision.retrain, decision.share) == ("no_drift", False, 0.25)
    assert decision.drifted == ("amount",)


def test_decide_when_the_score_alone_drifted():
    decision = judge(score=0.25)
    assert (decision.verdict, decision.retrain, decision.share) == ("drift", True, 0.0)
    assert decision.reasons[0] == "the score drifted: PSI 0.250, limit 0.200"


def test_decide_when_an_input_vanished_is_drift_whatever_the_share():
    decision = decide({**QUIET, "amount": 0.5}, AT_LIMIT, rows=1000, limits=LIMITS, vanished=("amount",))
    assert (decision.verdict, decision.retrain, decision.share) == ("drift", True, 0.25)
    assert decision.reasons[0] == "amount: no row has a value, which is a drift of its own"


def test_decide_when_a_vanished_input_stays_below_its_limit():
    decision = decide(QUIET, AT_LIMIT, rows=1000, limits=LIMITS, vanished=("rate",))
    assert (decision.retrain, decision.drifted) == (True, ("rate",))


def test_decide_when_an_ignored_input_vanished():
    assert not decide(QUIET, AT_LIMIT, rows=1000, limits=LIMITS, ignore=("hour",), vanished=("hour",)).retrain


def test_decide_at_a_column_limit_is_drift_of_the_column():
    assert judge(amount=0.2).drifted == ("amount",)
    assert judge(amount=math.nextafter(0.2, 0)).drifted == ()


def test_decide_names_column_value_and_limit_largest_first():
    decision = judge(amount=0.3, count=0.75, score=0.5)
    assert decision.drifted == ("count", "amount", "score")
    assert decision.reasons == (
        "the score drifted: PSI 0.500, limit 0.200",
        "2 of 4 inputs drifted (50%); 50% (max_share) make a drift of their own",
        "count: PSI 0.750, limit 0.200",
        "amount: PSI 0.300, limit 0.200",
    )


def test_decide_leaves_ignored_columns_out_of_drift_and_share():
    decision = judge(ignore=("hour",), hour=5.0, amount=0.5)
    assert decision.drifted == ("amount",)
    assert decision.share == pytest.approx(1 / 3)


def test_decide_with_every_input_ignored_judges_the_score():
    measures = {"hour": 5.0, "score": 0.1}
    quiet = decide(measures, AT_LIMIT, rows=1000, limits=LIMITS, ignore=("hour",))
    moved = decide({**measures, "score": 0.3}, AT_LIMIT, rows=1000, limits=LIMITS, ignore=("hour",))
    assert (quiet.verdict, moved.verdict) == ("no_drift", "drift")


def test_decide_with_a_higher_limit_of_one_column():
    decision = decide({**QUIET, "amount": 0.3, "count": 0.3}, {**AT_LIMIT, "count": 0.4}, rows=1000, limits=LIMITS)
    assert decision.drifted == ("amount",)


def test_decide_without_a_measure_of_the_score():
    with pytest.raises(DataError, match=r"^drift: no measure of the column score; measured: amount$"):
        decide({"amount": 0.1}, AT_LIMIT, rows=1000, limits=LIMITS)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_decide_with_a_measure_that_is_not_finite(value):
    with pytest.raises(DataError, match=rf"^drift: the PSI of amount is {value}; a finite number is needed$"):
        judge(amount=value)


def test_decide_without_a_limit_of_a_column():
    with pytest.raises(DataError, match="drift: amount has a measure but no limit; there are limits of score"):
        decide({"amount": 0.1, "score": 0.1}, {"score": 0.2}, rows=1000, limits=LIMITS)


def test_too_few_rows_at_the_limit():
    assert too_few_rows(1000, LIMITS) is None
    assert too_few_rows(30, LIMITS).verdict == "too_few_rows"


def test_noise_floor_of_one_column_is_the_scaled_chi_square_quantile():
    # The 0.999 quantile of chi-square with 9 degrees of freedom is 27.877 in printed tables.
    assert noise_floor(10, 1000, 1000, 1) == pytest.approx(27.877 * 2 / 1000, rel=1e-4)


def test_noise_floor_grows_with_columns_and_bins_and_falls_with_rows():
    base = noise_floor(10, 1000, 10_000, 10)
    assert noise_floor(10, 1000, 10_000, 100) > base
    assert noise_floor(12, 1000, 10_000, 10) > base
    assert noise_floor(10, 2000, 10_000, 10) < base
    assert noise_floor(10, 1000, 20_000, 10) < base


def test_noise_floor_of_a_single_bin_is_finite():
    assert 0 < noise_floor(1, 1000, 1000, 1) < 0.05


def test_column_limits_are_those_of_the_use_case_where_rows_are_many():
    assert column_limits({"amount": 11, "score": 10}, 1000, 60_000, LIMITS) == {"amount": 0.2, "score": 0.2}


def test_column_limits_rise_to_the_noise_floor_where_rows_are_few():
    limits = column_limits({"amount": 11, "score": 3}, 100, 60_000, Drift(min_rows=100))
    assert limits["amount"] == pytest.approx(noise_floor(11, 100, 60_000, 2))
    assert limits["amount"] > 0.2 == limits["score"]
