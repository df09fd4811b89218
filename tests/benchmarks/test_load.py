from __future__ import annotations

import itertools
from collections import Counter

from benchmarks.load import around, percentile
from benchmarks.stage import Guest
from benchmarks.zipf import draw, weights

GUESTS = [Guest(f"t{number}", "token", "localhost", "database") for number in range(100)]


def test_a_percentile_is_a_value_that_was_seen():
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile(range(1, 101), 0.99) == 100
    assert percentile([], 0.99) == 0


def test_zipfs_law_asks_for_the_second_about_half_as_often_as_for_the_first():
    assert 0.4 < weights(2)[1] / weights(2)[0] < 0.5
    asked = Counter(tenant_id for tenant_id, _ in draw(GUESTS, 20_000, seed=1))
    (_, first), (_, second) = asked.most_common(2)
    assert 0.35 < second / first < 0.6
    assert len(asked) == len(GUESTS)


def test_the_same_seed_draws_the_same():
    assert list(draw(GUESTS, 50, seed=3)) == list(draw(GUESTS, 50, seed=3)) != list(draw(GUESTS, 50, seed=4))
    assert list(itertools.islice(around(GUESTS, "/", 1), 5)) == list(
        itertools.islice(around(GUESTS, "/", 1), 5)
    )
