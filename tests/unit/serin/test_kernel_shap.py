"""Kernel SHAP against shap's own, and against what must hold of any SHAP values."""

import warnings

import numpy as np
import pytest

from serin.kernel_shap import coalitions, kernel_shap
from serin.logistic import logits, sigmoid

pytestmark = [
    # shap asks matplotlib for what is on its way out.
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:shap"),
]
RANDOM = np.random.default_rng(1)


def model(rows):
    """A probability with an interaction and a gap that counts."""
    first = np.nan_to_num(rows[:, 0].astype(np.float64), nan=-2.0)
    return sigmoid(first + rows[:, 1] * rows[:, 2] - 0.5 * np.abs(rows[:, 3]) + rows[:, 4:].sum(axis=1) / 5)


def link(scores):
    return logits(scores, 1e-7)


def rows_of(columns, count=6):
    rows = RANDOM.normal(size=(count, columns)).astype(np.float32)
    rows[0, 0] = np.nan
    return rows


@pytest.mark.parametrize("columns", [4, 6])
def test_few_inputs_are_explained_exactly_as_shap_does(columns):
    import shap

    rows, background = rows_of(columns), rows_of(columns, 10)
    values, base = kernel_shap(model, link, rows, background, 2**columns)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = shap.KernelExplainer(model, background.astype(np.float64), link="logit")
        expected = theirs.shap_values(rows.astype(np.float64), nsamples=2**columns, l1_reg=False, silent=True)
    np.testing.assert_allclose(values, expected, atol=1e-6)
    assert base == pytest.approx(float(theirs.expected_value))


def test_an_estimate_comes_near_the_exact_values_and_adds_up():
    rows, background = rows_of(12), rows_of(12, 20)
    exact, base = kernel_shap(model, link, rows, background, 2**12)
    estimate, same = kernel_shap(model, link, rows, background, 152)
    assert base == same
    np.testing.assert_allclose(base + estimate.sum(axis=1), link(model(rows)))
    assert np.abs(estimate - exact).max() < 0.15 * np.abs(exact).max()


def test_an_input_that_the_background_shares_has_no_part():
    rows, background = rows_of(12), rows_of(12, 20)
    rows[:, 5] = background[:, 5] = 3.0
    rows[:, 0] = background[:, 0] = np.nan
    values, _ = kernel_shap(model, link, rows, background, 100)
    assert (values[:, [0, 5]] == 0).all()


def test_one_input_has_all_of_the_difference():
    rows, background = np.array([[2.0]], np.float32), np.array([[0.0], [1.0]], np.float32)
    values, base = kernel_shap(lambda m: sigmoid(m[:, 0]), link, rows, background, 100)
    assert values[0, 0] + base == pytest.approx(2.0)


def test_a_row_like_the_whole_background_has_values_of_nothing():
    background = np.ones((3, 4), np.float32)
    values, _ = kernel_shap(model, link, background[:1], background, 100)
    assert (values == 0).all()


@pytest.mark.parametrize(("inputs", "count"), [(2, 10), (5, 100), (12, 152), (30, 188), (400, 928)])
def test_coalitions_come_with_their_complements_and_weigh_one(inputs, count):
    found = coalitions(inputs, count)
    kinds = {member.tobytes() for member in found.members}
    assert len(kinds) == len(found.members) <= count
    assert {(~member).tobytes() for member in found.members} == kinds
    assert found.weights.sum() == pytest.approx(1)
    assert found.exact == (2**inputs - 2 <= count)
    assert found.members.sum(axis=1).min() > 0
    assert found.members.sum(axis=1).max() < inputs
