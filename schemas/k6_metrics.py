"""The types of k6's metrics, where the format of a run does not carry them: CSV and the Kafka formats.

What a person says comes first, then the run's summary, whose shape tells a type, then k6's own metrics.
A custom metric that none of them knows is taken for a trend: of that count, sum, extremes and
percentiles are kept, which hold what any other type would have kept.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

MetricType = Literal["counter", "gauge", "rate", "trend"]

UNKNOWN: MetricType = "trend"
"""Of a custom metric that nobody said anything about."""

_BY_TYPE: dict[MetricType, str] = {
    "counter": "iterations dropped_iterations http_reqs data_sent data_received "
    "ws_sessions ws_msgs_sent ws_msgs_received "
    "grpc_streams grpc_streams_msgs_sent grpc_streams_msgs_received "
    "browser_data_sent browser_data_received",
    "gauge": "vus vus_max",
    "rate": "checks http_req_failed browser_http_req_failed",
    "trend": "iteration_duration group_duration "
    "http_req_duration http_req_blocked http_req_connecting http_req_tls_handshaking "
    "http_req_sending http_req_waiting http_req_receiving "
    "ws_ping ws_session_duration ws_connecting grpc_req_duration browser_http_req_duration "
    "browser_web_vital_ttfb browser_web_vital_lcp browser_web_vital_fid browser_web_vital_cls "
    "browser_web_vital_inp browser_web_vital_fcp",
}

BUILTIN: Mapping[str, MetricType] = {
    name: of for of, names in _BY_TYPE.items() for name in names.split()
}
"""k6's own metrics (its metrics/builtin.go and the grpc and browser modules), 0.45 to 2.x."""


class MetricTypes:
    """Answers what type a metric has."""

    def __init__(
        self,
        summary: Mapping[str, Any] | None = None,
        given: Mapping[str, MetricType] | None = None,
    ) -> None:
        self._known = {**BUILTIN, **summarised(summary or {}), **(given or {})}

    def of(self, name: str) -> MetricType:
        """The type of a metric; of an unknown one, UNKNOWN."""
        return self._known.get(name, UNKNOWN)


def as_type(text: str) -> MetricType | None:
    """The type of this name, None where there is no such."""
    return next((one for one in get_args(MetricType) if one == text), None)


def summarised(summary: Mapping[str, Any]) -> dict[str, MetricType]:
    """Types as a run's summary shows them: that of --summary-export, or of `handleSummary`, which says them."""
    metrics = summary.get("metrics")
    return {
        name: as_type(str(body.get("type"))) or _shaped(body)
        for name, body in (metrics.items() if isinstance(metrics, Mapping) else ())
        if isinstance(body, Mapping) and "{" not in name  # a submetric has its metric's type
    }


def _shaped(body: Mapping[str, Any]) -> MetricType:
    """By the figures that --summary-export writes of each type; a trend has whatever statistics were chosen."""
    if {"passes", "fails"} <= body.keys():
        return "rate"
    if {"count", "rate"} <= body.keys():
        return "counter"
    return "gauge" if "value" in body else "trend"
