"""Which of two versions that passed the gate becomes the challenger."""

from itertools import permutations

from serin.aliases import Standing, supersedes

OLD = Standing(version=5, as_of="2026-01-01T00:00:00+00:00", score=0.9)
WEAK = Standing(version=3, as_of="2026-02-01T00:00:00+00:00", score=0.6)
STRONG = Standing(version=4, as_of="2026-02-01T00:00:00+00:00", score=0.7)


def test_anything_supersedes_nothing():
    assert supersedes(WEAK, None)


def test_later_data_win_over_a_better_score():
    assert supersedes(WEAK, OLD)
    assert not supersedes(OLD, WEAK)


def test_better_score_wins_on_the_same_data():
    assert supersedes(STRONG, WEAK)
    assert not supersedes(WEAK, STRONG)


def test_order_of_arrival_makes_no_difference():
    for arrivals in permutations([OLD, WEAK, STRONG]):
        holder = None
        for new in arrivals:
            holder = new if supersedes(new, holder) else holder
        assert holder == STRONG
