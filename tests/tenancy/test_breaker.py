"""When a database is answered for without trying."""

from __future__ import annotations

from tenancy.breaker import Breaker, State


def a_breaker():
    return Breaker(limit=3, pause=10.0)


def test_it_opens_after_a_few_failures_in_a_row():
    breaker = a_breaker()
    assert [breaker.failed(0.01) for _ in range(3)] == [False, False, True]
    assert breaker.state() is State.OPEN


def test_one_failure_that_took_its_time_is_enough():
    breaker = a_breaker()
    assert breaker.failed(Breaker.SLOW)
    assert breaker.silent


def test_after_a_pause_one_may_try_and_the_others_wait_for_how_that_goes():
    breaker = a_breaker()
    breaker.trip()
    later = breaker.opened_at + 10.0
    assert breaker.state(later - 0.1) is State.OPEN
    assert breaker.state(later) is State.HALF_OPEN
    breaker.try_once()
    assert breaker.state() is State.OPEN


def test_a_trial_that_never_reports_does_not_keep_the_others_out_for_ever():
    breaker = a_breaker()
    breaker.trip()
    breaker.try_once()
    assert breaker.state(breaker._trial_at + 10.0) is State.HALF_OPEN


def test_a_server_that_says_nothing_is_tried_by_nobody_until_it_is_heard():
    breaker = a_breaker()
    breaker.trip(silent=True)
    assert breaker.state(breaker.opened_at + 1000.0) is State.OPEN
    breaker.heard()
    assert breaker.state() is State.HALF_OPEN


def test_a_failed_trial_opens_it_again():
    breaker = a_breaker()
    breaker.trip(silent=True)
    breaker.heard()
    breaker.try_once()
    assert breaker.failed(0.01)
    assert breaker.state() is State.OPEN
