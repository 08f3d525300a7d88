"""Calls that are measured by turns."""

import time
from itertools import groupby

from tas.timing.interleaved import LEAST_ROUNDS, Spread, interleaved, ratios


def test_the_order_turns_round_with_every_round() -> None:
    seen: list[str] = []
    times = interleaved([lambda: seen.append("a"), lambda: seen.append("b")], threads=1, seconds=1e-9, rounds=30)
    assert [len(row) for row in times] == [LEAST_ROUNDS, LEAST_ROUNDS]
    # After a look at each: a b, b a, a b, ...; neighbours of the same name run together here.
    assert "".join(name for name, _ in groupby(seen)) == "ab" + "ababab"


def test_as_many_rounds_as_are_asked_for_where_time_allows() -> None:
    (times,) = interleaved([lambda: None], threads=1, seconds=0.2, rounds=9)
    assert len(times) == 9 and all(value > 0 for value in times)


def test_a_call_that_takes_four_times_as_long_is_told_apart() -> None:
    slow, fast = (lambda: time.sleep(0.02)), (lambda: time.sleep(0.005))
    spread = ratios(*interleaved([slow, fast], threads=1, seconds=0.01, rounds=5))
    assert 0.1 < spread.median < 0.7


def test_ratios_are_of_pairs() -> None:
    # A machine that grows slower: the ratio of each pair is the same.
    assert ratios([1.0, 2.0, 4.0, 8.0], [0.5, 1.0, 2.0, 4.0]) == Spread(0.5, 0.5, 0.5)


def test_a_spread_is_median_and_quartiles() -> None:
    assert Spread.of([5.0, 1.0, 2.0, 3.0, 4.0]) == Spread(3.0, 2.0, 4.0)
