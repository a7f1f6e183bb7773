"""The rule and the playbook of the demo's incident."""

from schemas.playbooks import Playbook
from schemas.rules import Rule

RULE = "items-slow"
PLAYBOOK = "items-quick-again"
SLOW_MS = 400
"""How slow the service is made: well past the rule's limit."""
_LIMIT_MS = 250


def rule() -> Rule:
    """The 95th percentile of the service's list, over five seconds, as the load test measures it."""
    return Rule.model_validate(
        {
            "name": RULE,
            "metric": "http_req_duration",
            "match": ("name=/items",),
            "function": "p95",
            "window": "5s",
            "operator": ">",
            "critical": _LIMIT_MS,
            "group_by": ("name",),
            "annotations": {
                "summary": "{{ labels.name }} takes {{ value }} ms, more than {{ threshold }}"
            },
            "remediation": {"playbook": PLAYBOOK, "verify_after": "30s", "cooldown": "0s"},
        }
    )


def playbook(items: str) -> Playbook:
    """One step: take the slowness away, by the service's own switch."""
    return Playbook.model_validate(
        {
            "name": PLAYBOOK,
            "description": "Calls the switch that made the items service slow.",
            "steps": [
                {
                    "id": "switch",
                    "do": {
                        "action": "http",
                        "method": "PUT",
                        "url": f"{items}/slowness",
                        "body": {"delay_ms": 0},
                        "timeout": "10s",
                        "retries": 3,
                    },
                }
            ],
        }
    )
