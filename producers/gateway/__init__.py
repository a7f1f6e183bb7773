"""The HTTP gateway: JSON over HTTP in, acknowledged envelopes in Kafka out.

    access ─→ bodies ─→ reading ─→ producers.envelopes ─→ publishing ─→ producers.steady
    (tenant)  (bounded)  (rules)                           (acknowledged or an error)

What it answers 202 to is in Kafka. Whatever stands in the way is a problem document that says what to
do: mend the samples (422), send fewer (413), or come back later (503).
"""

from producers.gateway.app import create_gateway
from producers.gateway.limits import Budget, Limits
from producers.gateway.publishing import KafkaPublisher

__all__ = ["Budget", "KafkaPublisher", "Limits", "create_gateway"]
