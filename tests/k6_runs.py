"""What tests of the k6 bridge share: a site, a script, and the points of a run on both sides."""

import asyncio
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from aiokafka import ConsumerRecord

from producers.k6.folder import Manifest
from producers.k6.outcome import RunResult
from producers.k6.run import RunConfig, run_k6
from producers.k6.urls import USUAL
from schemas.envelopes import decode_labels, decode_numeric, raw_bytes
from schemas.runs import RUN_EVENT, RunAborted, RunFinished, RunStarted
from schemas.topics import Topics
from tests.kafka_log import records_of

DATA = Path(__file__).parent / "data"

SCRIPT = """
import http from 'k6/http'; import { check } from 'k6';
export const options = {
  summaryTrendStats: ['avg', 'p(99)'],
  tags: { suite: 'smoke', team: 'none' },
  thresholds: {
    http_req_failed: ['rate<0.01'],
    ...(__ENV.REQUESTS ? { http_reqs: [__ENV.REQUESTS] } : {}),
    'http_req_duration{name:list}': [{ threshold: 'avg<60000', abortOnFail: true }],
  },
};
export default function () {
  const answer = http.get(__ENV.URL, { tags: { name: 'list', 'my-tag': 'x' } });
  check(answer, { ok: (r) => r.status === 200 });
  http.get(`${__ENV.URL}missing`);
}
"""


class _Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(404 if self.path.endswith("missing") else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving_site() -> Iterator[str]:
    """URL of a site that answers 200, and 404 to what ends in `missing`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class Bench:
    """A script, a broker with topics, and what was said and written."""

    bootstrap: str
    topics: Topics
    folder: Path
    tenant_id: UUID = field(default_factory=uuid4)
    said: list[str] = field(default_factory=list)

    @property
    def truth(self) -> Path:
        """Where k6 itself writes the points, beside the bridge."""
        return self.folder / "truth.json"

    def config(self, *arguments: str, **given: Any) -> RunConfig:
        """A run of the script with these options of k6."""
        (self.folder / "basic.js").write_text(SCRIPT)
        script = str(self.folder / "basic.js")
        return RunConfig(
            bootstrap=given.pop("bootstrap", self.bootstrap),
            topics=self.topics,
            tenant_id=self.tenant_id,
            arguments=["--quiet", "--out", f"json={self.truth}", *arguments, script],
            environment=dict(os.environ),
            spool=self.folder / "spool",
            **given,
        )

    def manifest(self) -> Manifest:
        """What a folder says of a run that was begun now."""
        now = datetime.now(UTC)
        return Manifest(
            topic_prefix=self.topics.prefix,
            since_ms=int(now.timestamp() * 1000) - 60_000,
            disk_limit=1 << 30,
            folding=USUAL,
            started=RunStarted(
                execution_id=uuid4(),
                tenant_id=self.tenant_id,
                at=now,
                runner="r",
                test="basic",
                script="basic.js",
            ),
        )

    async def run(self, config: RunConfig) -> RunResult:
        """Run it."""
        return await run_k6(config, say=self.said.append)

    async def records(self) -> list[ConsumerRecord]:
        """What lies in the samples topic."""
        return await records_of(self.bootstrap, self.topics.samples)

    async def events(self) -> list[RunStarted | RunFinished | RunAborted]:
        """What lies in the topic of run events."""
        records = await records_of(self.bootstrap, self.topics.run_events)
        return [RUN_EVENT.validate_json(record.value) for record in records]


def stored(records: list[ConsumerRecord]) -> "Counter[tuple[Any, ...]]":
    """Points as they lie in Kafka, each with how often."""
    return Counter(
        (
            one.name,
            one.value,
            one.timestamp,
            json.dumps(_bare(decode_labels(raw_bytes(one.labels)))),
        )
        for record in records
        for one in decode_numeric(record.value).metrics or []
    )


def written(lines: bytes) -> "Counter[tuple[Any, ...]]":
    """Points as k6 wrote them itself."""
    parsed = (json.loads(line) for line in lines.splitlines())
    return Counter(
        (
            one["metric"],
            one["data"]["value"],
            one["data"]["time"],
            json.dumps(_bare(one["data"]["tags"])),
        )
        for one in parsed
        if one["type"] == "Point"
    )


def _bare(tags: dict[str, str]) -> dict[str, str]:
    """Without the tag whose key ingest refuses, and without query strings, in one order."""
    return {
        key: tags[key].partition("?")[0] for key in sorted(tags) if key not in {"my-tag", "my_tag"}
    }


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another process does; it has no event to wait for."""
    while not condition():  # noqa: ASYNC110 # reason above
        await asyncio.sleep(0.05)
