import pytest

from predictors.scoring.admission import LEAST, MOST, Admission, Cost
from serin.errors import OverloadedError


def cost(one: float, each: float) -> Cost:
    """One row takes `one` seconds, and every other one `each`."""
    found = Cost()
    found.measure(101, one, one + 100 * each)
    return found


@pytest.mark.parametrize(
    ("one", "each", "quick"), [(0.0001, 0.00001, 91), (0.0011, 0.0001, 0), (0.0011, 0.00001, 0), (0.02, 0.02, 0)]
)
def test_batches_that_take_less_than_a_millisecond_are_quick(one: float, each: float, quick: int) -> None:
    assert abs(cost(one, each).quick_rows - quick) <= 1


@pytest.mark.parametrize(
    ("one", "each", "merged"), [(0.0001, 0.00001, 91), (0.0009, 0.00001, 512), (0.02, 0.001, 512), (0.0003, 0.0002, 4)]
)
def test_batches_are_quick_ones_unless_each_costs_much_by_itself(one: float, each: float, merged: int) -> None:
    assert abs(cost(one, each).merged_rows - merged) <= 1


@pytest.mark.parametrize(("each", "most"), [(0.00001, MOST), (0.001, 500), (0.1, LEAST)])
def test_as_many_requests_may_be_in_flight_as_are_answered_in_half_a_second(each: float, most: int) -> None:
    assert abs(cost(each, each).concurrency - most) <= 1


def test_expected_seconds_follow_what_batches_take_and_forget_a_pause() -> None:
    found = cost(0.01, 0.001)
    expected = found.seconds(10)
    found.took(10, 60.0)
    assert found.seconds(10) < 1.2 * expected
    for _ in range(200):
        found.took(10, 3 * expected)
    assert found.seconds(10) == pytest.approx(3 * expected, rel=0.01)
    assert found.quick_rows == 0


def test_model_that_nobody_measured_is_slow_until_its_batches_say_otherwise() -> None:
    found = Cost()
    assert found.quick_rows == 0
    for _ in range(300):
        found.took(1, 0.0001)
    assert found.quick_rows >= 1
    measured = cost(0.002, 0.001)
    for _ in range(300):
        measured.took(1, 0.0001)
    assert measured.quick_rows == 0


def test_requests_beyond_the_most_are_refused_until_one_is_answered() -> None:
    admission = Admission(cost(0.001, 0.001), 2)
    admission.enter()
    admission.enter()
    with pytest.raises(OverloadedError, match=r"2 requests are in flight; allowed: 2") as refused:
        admission.enter()
    assert refused.value.retry_after == 1
    admission.leave(0)
    admission.enter()
    assert admission.in_flight == 2


def test_nobody_is_taken_on_while_more_waits_than_half_a_second_of_work() -> None:
    admission = Admission(cost(0.01, 0.01), 100)
    # Whatever a request holds: alone it is taken on.
    admission.enter()
    admission.wait(400)
    with pytest.raises(OverloadedError, match=r"400 rows wait, which take about 4.0 s; allowed: 0.5 s") as refused:
        admission.enter()
    assert refused.value.retry_after == 4
    admission.leave(400)
    for _ in range(3):
        admission.enter()
    assert [admission.wait(rows) for rows in (49, 2)] == [49, 2]
    # One that was taken on before, and decoded since.
    with pytest.raises(OverloadedError):
        admission.wait(1)
    assert admission.rows == 51
