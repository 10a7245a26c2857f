"""The search's sample: which rows, and that it stands for all of them."""

import numpy as np
import pytest

from serin.learning.sampling import sample

LABELS = (np.arange(10_000) % 100 == 0).astype(np.int8)


def test_all_positives_are_in_it_and_as_many_others_as_there_is_room_for():
    found = sample(LABELS, 1000, 0)
    assert len(found.places) == len(set(found.places)) == 1000
    assert LABELS[found.places].sum() == 100
    assert (np.diff(found.places) > 0).all()


def test_weights_of_each_class_add_up_to_its_rows():
    found = sample(LABELS, 1000, 0)
    positive = LABELS[found.places] == 1
    assert found.weight[positive].sum() == pytest.approx(100)
    assert found.weight[~positive].sum() == pytest.approx(9900)


@pytest.mark.parametrize("labels", [1 - LABELS, np.tile([0, 1], 5000).astype(np.int8)], ids=["mostly ones", "halves"])
def test_room_is_kept_whichever_class_is_rarer(labels):
    found = sample(labels, 1000, 0)
    assert len(found.places) == 1000
    assert found.weight[labels[found.places] == 1].sum() == pytest.approx(labels.sum())


def test_fewer_rows_than_there_is_room_for_are_all_taken_without_weights():
    found = sample(LABELS, 10_000, 0)
    assert found.weight is None
    assert found.places.tolist() == list(range(10_000))


def test_same_seed_has_the_same_sample_and_another_one_another():
    first, again, other = (sample(LABELS, 1000, seed).places for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()
