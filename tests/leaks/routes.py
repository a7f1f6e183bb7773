"""How each route of the query API is asked for: with one's own things, and with another's.

A route that is not here fails the leak suite. To add one, say which requests reach it, given a
tenant's belongings: name, label, id, whatever it takes of a tenant's. The suite sends them with the
tenant's own key and with the other's, in every form that the document offers, with every parameter
that the document declares.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeAlias
from urllib.parse import quote

from query.k6.shown import SERIES
from tests.leaks.planted import SHARED, Belongings
from tests.sites import NOW

Operation: TypeAlias = tuple[str, str]
"""Method and path, as the OpenAPI document has them."""


@dataclass(frozen=True)
class Ask:
    """A request: parameters of the path by name, of the query, headers, and a JSON body."""

    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None

    def url(self, template: str) -> str:
        """The path that is asked for."""
        for name, value in self.path.items():
            template = template.replace(f"{{{name}}}", quote(value, safe=""))
        return template


Asks: TypeAlias = Callable[[Belongings], list[Ask]]

_DAYS = {"start": (NOW - timedelta(days=5)).isoformat(), "end": NOW.isoformat()}
_HOUR = {"start": (NOW - timedelta(hours=1)).isoformat(), "end": NOW.isoformat()}


def _names(own: Belongings) -> tuple[str, ...]:
    return (SHARED, own.latency, "state", "up")


def _of_metric(*queries: Mapping[str, Any]) -> Asks:
    """Requests with the metric in the path, each with each of these queries."""
    return lambda own: [
        Ask(path={"name": name}, query=query) for name in _names(own) for query in queries
    ]


def _nothing(_: Belongings) -> list[Ask]:
    return [Ask()]


def _of_runs(own: Belongings) -> list[Ask]:
    """The newest run, those of some days, and one's own by id, test and tag."""
    return [
        Ask(query=query)
        for query in (
            {},
            _HOUR,
            _DAYS,
            {"execution_id": str(own.execution_id)},
            {"test": f"{own.word}-test", "tag": f"{own.word}-tag:{own.word}"},
        )
    ]


def _own_label(own: Belongings) -> str:
    return f"host:{own.word}-host"


_SINCE = {"since": _DAYS["start"]}
_SILENCE = {
    "matchers": ["host=~.*"],
    "expires_at": (NOW + timedelta(hours=1)).isoformat(),
    "author": "me",
}
_DEFINITION = {"type": "gauge", "aggregation": "max", "unit": "new"}
_RULE = {"metric": SHARED, "function": "value", "operator": ">", "critical": 9}


def _playbook(name: str) -> dict[str, Any]:
    wait = {"action": "wait", "duration": "2s"}
    return {"name": name, "steps": [{"id": "b", "do": wait}]}


def _of_remediation(own: Belongings) -> Ask:
    return Ask(path={"remediation_id": str(own.remediation_id)}, body={"who": "ana"})


PUBLIC: dict[Operation, Asks] = {
    ("get", "/healthz"): _nothing,
    ("get", "/readyz"): _nothing,
    ("get", "/metrics"): _nothing,
}
"""Routes that need no key, and know no tenant."""

READS: dict[Operation, Asks] = {
    ("get", "/api/v1/metrics"): lambda own: [
        *(Ask(query={"name": name, **_DAYS}) for name in _names(own)),
        Ask(query={"name": SHARED, "label": _own_label(own)}),
        Ask(query={"name": SHARED, "match": f"host=~{own.word}.*"}),
    ],
    ("get", "/api/v1/metrics/names"): lambda own: [
        Ask(),
        Ask(query={"prefix": own.word[:3]}),
    ],
    ("get", "/api/v1/metrics/labels"): lambda own: [
        *(Ask(query={"name": name}) for name in _names(own)),
        Ask(query={"name": SHARED, "label": "host"}),
        Ask(query={"name": SHARED, "label": "host", "prefix": own.word[:3]}),
        Ask(query={"name": SHARED, "label": f"{own.word}_key"}),
    ],
    ("get", "/api/v1/metrics/latest/{name}"): _of_metric({}),
    ("get", "/api/v1/metrics/aggregate/{name}"): _of_metric(
        _HOUR, _DAYS, {**_DAYS, "by": "host"}, {**_HOUR, "agg": "p99"}
    ),
    ("get", "/api/v1/metrics/series/{name}"): _of_metric(
        {**_HOUR, "bucket": "1m"},
        {**_DAYS, "bucket": "1h", "agg": "max"},
        {**_DAYS, "bucket": "1h", "agg": "p95"},
        {**_HOUR, "bucket": "5m", "agg": "count", "by": "host"},
        {**_HOUR, "bucket": "1m", "agg": "sum", "max_points": 10},
    ),
    ("get", "/api/v1/data/points"): lambda own: [
        Ask(query={"name": name, "agg": agg, **span})
        for name in (SHARED, own.latency)
        for agg in ("raw", "1m", "5m", "1h")
        for span in (_HOUR, _DAYS)
    ],
    ("get", "/api/v1/metrics/definitions"): lambda own: [
        Ask(),
        Ask(query={"prefix": own.word[:3]}),
    ],
    ("get", "/api/v1/metrics/definitions/{name}"): _of_metric({}),
    ("get", "/api/v1/cardinality"): _nothing,
    ("get", "/api/v1/runs"): lambda own: [Ask(), Ask(query={"test": f"{own.word}-test"})],
    ("get", "/api/v1/runs/{execution_id}"): lambda own: [
        Ask(path={"execution_id": str(own.execution_id)})
    ],
    ("get", "/api/v1/runs/{execution_id}/summary"): lambda own: [
        Ask(path={"execution_id": str(own.execution_id)})
    ],
    **{
        ("get", f"/api/v1/k6/{path}"): _of_runs
        for path in ("stats", "tables/requests", "tables/errors", "domains", "checks", "thresholds")
    },
    ("get", "/api/v1/k6/series/{which}"): lambda own: [
        *(Ask(path={"which": which}, query=time) for which in SERIES for time in ({}, _DAYS)),
        *(
            Ask(path={"which": "response-time"}, query={**time, **endpoint})
            for time in (_HOUR, _DAYS)
            for endpoint in ({"endpoint": f"{own.word} /items"}, {"domain": f"{own.word}-domain"})
        ),
        *(Ask(path={"which": "response-time"}, query=asked.query) for asked in _of_runs(own)),
    ],
    ("get", "/api/v1/k6/domains/{domain}"): lambda own: [
        Ask(path={"domain": f"{own.word}-domain"}, query=asked.query) for asked in _of_runs(own)
    ],
    ("get", "/api/v1/k6/executions/{execution_id}/stats"): lambda own: [
        Ask(path={"execution_id": str(own.execution_id)})
    ],
    ("get", "/api/v1/k6/overview"): _nothing,
    ("get", "/api/v1/runs/{execution_id}/comparison"): lambda own: [
        Ask(path={"execution_id": str(own.execution_id)}, query=query)
        for query in (
            {},
            {"baseline": f"{own.word}-baseline"},
            {"baseline": str(own.execution_id), "runs": 5},
        )
    ],
    ("get", "/api/v1/baselines"): lambda own: [Ask(), Ask(query={"test": f"{own.word}-test"})],
    ("get", "/api/v1/baselines/{test}/{name}"): lambda own: [
        Ask(path={"test": f"{own.word}-test", "name": f"{own.word}-baseline"})
    ],
    ("get", "/api/v1/rules"): lambda own: [Ask(), Ask(query={"prefix": own.word[:3]})],
    ("get", "/api/v1/rules/{name}"): lambda own: [
        Ask(path={"name": name}) for name in ("shared", f"{own.word}-rule")
    ],
    ("get", "/api/v1/alerts"): lambda own: [
        Ask(),
        Ask(query={"rule": f"{own.word}-rule", "state": "firing", "level": "critical"}),
        Ask(query={"match": f"host=~{own.word}.*", **_SINCE}),
        Ask(query={"match": f"host={own.word}-host"}),
    ],
    ("get", "/api/v1/alerts/{alert_id}"): lambda own: [Ask(path={"alert_id": own.alert_id})],
    ("get", "/api/v1/alert-history"): lambda own: [
        Ask(),
        Ask(query={"alert": own.alert_id}),
        Ask(query={"rule": f"{own.word}-rule", "state": "firing", **_DAYS}),
    ],
    ("get", "/api/v1/silences"): lambda _: [Ask(), Ask(query={"state": "active"})],
    ("get", "/api/v1/silences/{silence_id}"): lambda own: [
        Ask(path={"silence_id": str(own.silence_id)})
    ],
    ("get", "/api/v1/playbooks"): _nothing,
    ("get", "/api/v1/playbooks/{name}"): lambda own: [
        Ask(path={"name": name}, query=query)
        for name in ("restart", f"{own.word}-playbook")
        for query in ({}, {"version": 1})
    ],
    ("get", "/api/v1/remediations"): lambda own: [
        Ask(query=query)
        for query in (
            {},
            {"state": "awaiting"},
            {"rule": f"{own.word}-rule"},
            {"since": NOW.isoformat()},
        )
    ],
    ("get", "/api/v1/remediations/{remediation_id}"): lambda own: [
        Ask(path={"remediation_id": str(own.remediation_id)})
    ],
    ("get", "/api/v1/remediation-pauses"): _nothing,
    # What a dry run says must not tell of another either.
    ("delete", "/api/v1/metrics/data/{name}"): _of_metric({"dry_run": "true"}),
    ("delete", "/api/v1/metrics/definitions/{name}"): _of_metric({"dry_run": "true"}),
}
"""Routes that show what a tenant has, and change nothing when asked like this."""

CHANGES: dict[Operation, Asks] = {
    ("get", "/api/v1/keys"): lambda _: [Ask(), Ask(query={"dead": "true"})],
    ("post", "/api/v1/keys"): lambda own: [
        Ask(body={"scopes": ["read"]}),
        Ask(body={"scopes": ["admin"], "tenant_id": str(own.tenant_id)}),
    ],
    ("post", "/api/v1/metrics/definitions"): lambda own: [
        Ask(body={"name": name, **_DEFINITION, **more})
        for name in (*_names(own), "new")
        for more in ({}, {"tenant_id": str(own.tenant_id)})
    ],
    ("put", "/api/v1/metrics/definitions/{name}"): lambda own: [
        Ask(path={"name": name}, headers={"If-Match": "*"}, body=_DEFINITION)
        for name in _names(own)
    ],
    ("delete", "/api/v1/metrics/definitions/{name}"): lambda own: [
        Ask(path={"name": name}, headers={"If-Match": "*"}) for name in _names(own)
    ],
    ("post", "/api/v1/rules"): lambda own: [
        Ask(body={"name": name, **_RULE, **more})
        for name in ("shared", f"{own.word}-rule", "new")
        for more in ({}, {"tenant_id": str(own.tenant_id)})
    ],
    ("put", "/api/v1/rules/{name}"): lambda own: [
        Ask(path={"name": name}, headers={"If-Match": "*"}, body={"name": name, **_RULE})
        for name in ("shared", f"{own.word}-rule")
    ],
    ("delete", "/api/v1/rules/{name}"): lambda own: [
        Ask(path={"name": name}, headers={"If-Match": "*"})
        for name in ("shared", f"{own.word}-rule")
    ],
    ("put", "/api/v1/baselines/{test}/{name}"): lambda own: [
        Ask(
            path={"test": f"{own.word}-test", "name": name},
            body={"execution_id": str(own.execution_id), **more},
        )
        for name in (f"{own.word}-baseline", "new")
        for more in ({}, {"tenant_id": str(own.tenant_id)})
    ],
    ("delete", "/api/v1/baselines/{test}/{name}"): lambda own: [
        Ask(path={"test": f"{own.word}-test", "name": f"{own.word}-baseline"})
    ],
    ("post", "/api/v1/alerts/{alert_id}/acknowledge"): lambda own: [
        Ask(path={"alert_id": own.alert_id}, body={"author": own.word, **more})
        for more in ({}, {"tenant_id": str(own.tenant_id)})
    ],
    ("post", "/api/v1/silences"): lambda own: [
        Ask(body={**_SILENCE, **more}) for more in ({}, {"tenant_id": str(own.tenant_id)})
    ],
    ("put", "/api/v1/silences/{silence_id}"): lambda own: [
        Ask(path={"silence_id": str(own.silence_id)}, headers={"If-Match": "*"}, body=_SILENCE)
    ],
    ("delete", "/api/v1/silences/{silence_id}"): lambda own: [
        Ask(path={"silence_id": str(own.silence_id)})
    ],
    ("put", "/api/v1/playbooks/{name}"): lambda own: [
        Ask(path={"name": name}, body=_playbook(name))
        for name in ("restart", f"{own.word}-playbook", "new")
    ],
    ("delete", "/api/v1/playbooks/{name}"): lambda own: [
        Ask(path={"name": f"{own.word}-playbook"})
    ],
    ("post", "/api/v1/remediations/{remediation_id}/approve"): lambda own: [_of_remediation(own)],
    ("post", "/api/v1/remediations/{remediation_id}/reject"): lambda own: [_of_remediation(own)],
    ("post", "/api/v1/remediation-pauses"): lambda own: [
        Ask(body={"actor": "ana"}),
        Ask(body={"actor": "ana", "tenant_id": str(own.tenant_id)}),
    ],
    ("delete", "/api/v1/remediation-pauses"): _nothing,
    # With its rules, alerts and remediations: after what is asked of those.
    ("delete", "/api/v1/metrics/data/{name}"): _of_metric({}),
    # Last: it is the key that asks, and believed for a minute more.
    ("post", "/api/v1/keys/{key_id}/rotate"): lambda own: [
        Ask(path={"key_id": own.key_id}, body={"grace_hours": 0})
    ],
    ("delete", "/api/v1/keys/{key_id}"): lambda own: [Ask(path={"key_id": own.key_id})],
}
"""Routes that change what a tenant has, or tell of changes: keys are not the same twice.

In the order in which they are sent: the key that a tenant asks with is revoked last.
"""

GATEWAY: dict[Operation, Asks] = {
    **PUBLIC,
    ("post", "/api/v1/metrics/ingest"): lambda own: [
        Ask(body={"name": SHARED, "value": own.number, "labels": {"host": "a"}}),
        Ask(body={"name": SHARED, "value": 1, "tenant_id": str(own.tenant_id)}),
        Ask(body={"name": SHARED, "value": 1}, query={"tenant_id": str(own.tenant_id)}),
        Ask(body={"name": SHARED, "value": 1}, headers={"X-Tenant-ID": str(own.tenant_id)}),
    ],
    ("post", "/api/v1/metrics/ingest/batch"): lambda own: [
        Ask(body={"metrics": [{"name": SHARED, "value": own.number}]}),
        Ask(body={"tenant_id": str(own.tenant_id), "metrics": [{"name": SHARED, "value": 1}]}),
        Ask(body={"metrics": [{"name": SHARED, "value": 1, "tenant_id": str(own.tenant_id)}]}),
        Ask(
            body={"metrics": [{"name": SHARED, "value": 1}, {"name": ""}]},
            query={"partial": "true", "tenant": str(own.tenant_id)},
        ),
    ],
}
"""Routes of the gateway."""
