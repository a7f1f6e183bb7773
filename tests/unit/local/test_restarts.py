"""When a process is started again."""

from deploy.local.restarts import APP_RESTARTS, SERVER_RESTARTS, Restarts


def test_waits_double_up_to_a_limit() -> None:
    """The first restart comes soon, the hundredth not later than the limit."""
    policy = Restarts(first=0.5, longest=30)
    assert [policy.delay(n, 1) for n in (1, 2, 3, 4, 100)] == [0.5, 1, 2, 4, 30]


def test_a_process_that_stayed_ready_begins_anew() -> None:
    """One crash a day is never a crash loop."""
    policy = Restarts(healthy_after=60)
    assert policy.exits_in_a_row(before=7, ready_for=61) == 1
    assert policy.exits_in_a_row(before=7, ready_for=5) == 8


def test_a_configuration_error_is_final_for_apps_only() -> None:
    """PostgreSQL's children end with 2 when it crashes: that is no configuration error."""
    assert APP_RESTARTS.delay(1, code=2) is None
    assert SERVER_RESTARTS.delay(1, code=2) is not None
