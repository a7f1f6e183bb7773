"""B10 on the way in: what a tenant sends is its own, whatever it says of another."""

from pathlib import Path

import httpx
import msgspec

from producers.topics import create_topics
from schemas.topics import Topics
from sinks.keys import Tenants
from tests.kafka_log import records_of
from tests.leaks.asking import ask, operations
from tests.leaks.planted import INTRUDER, VICTIM, belongings
from tests.leaks.routes import GATEWAY
from tests.processes import headrace
from tests.sites import serving


async def test_what_is_sent_is_the_senders(
    kafka: str, database: str, topics: Topics, tmp_path: Path
) -> None:
    """Every route of the gateway: what reaches Kafka is of the key's tenant, whatever the request says."""
    await create_topics(kafka, topics.specs(1), 1)
    async with serving(database) as site:
        victim, sender = belongings(site, VICTIM), site.tenants[INTRUDER]
        key = await Tenants(site.admin).create_key(INTRUDER, ["ingest"])
    env = {
        "HEADRACE_DATABASE": database,
        "HEADRACE_KAFKA": kafka,
        "HEADRACE_TOPIC_PREFIX": topics.prefix,
    }
    with headrace("gateway", env=env, log=tmp_path / "gateway.log") as gateway:
        await gateway.ready()
        url = f"http://127.0.0.1:{gateway.port}"
        async with httpx.AsyncClient(base_url=url) as client:
            documents = operations((await client.get("/openapi.json")).json())
            assert documents.keys() == GATEWAY.keys(), (
                "bring GATEWAY in tests/leaks/routes.py up to date"
            )
            taken = 0
            for operation, asks in GATEWAY.items():
                for request in asks(victim):
                    heard = await ask(client, key, operation, request)
                    assert heard.status < 500, (operation, request)
                    assert str(victim.tenant_id) not in heard.text, (operation, request)
                    taken += heard.status == 202
    records = await records_of(kafka, topics.samples)
    assert len(records) == taken > 2
    for record in records:
        assert record.key.decode().startswith(str(sender))
        assert msgspec.json.decode(record.value)["tenant_id"] == str(sender)
        assert str(victim.tenant_id).encode() not in record.key + record.value
