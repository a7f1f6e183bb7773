"""Reads what a process of ours shows at /metrics."""


def check_measured(text: str, method: str, route: str, status: int) -> None:
    """Assert that one request to `route` and the look at /metrics itself are in all four metrics."""
    lines = text.splitlines()
    of = f'method="{method}",route="{route}"'
    assert f'http_requests_total{{{of},status="{status}"}} 1.0' in lines
    assert f"http_request_duration_seconds_count{{{of}}} 1.0" in lines
    assert "http_requests_in_progress 1.0" in lines
    assert "# TYPE http_exceptions_total counter" in lines
