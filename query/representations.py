"""Writes an answer in the form that the client asked for: JSON, CSV or an Arrow stream.

A route of rows, as JSON it is its `Answer`; the other two forms carry the rows as a table:

    @router.get("", response_model=SamplePage, responses=TABULAR)
    async def list_samples(..., accepted: Accepted) -> Response:
        ...
        return accepted.respond(page, rows="samples", table=lambda: pa.table({...}), etag=etag)

What the answer says beside its rows (`source`, `next_cursor`, …) is in the header `Headrace-Answer`
and, in Arrow, in the metadata of the schema, under the key `headrace`: a JSON object in both.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from json import dumps
from typing import Annotated, Any, Literal

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from fastapi import Depends, HTTPException, Request, Response

from query.accepting import best_media_type
from query.answers import Answer
from query.freshness import ETag
from schemas.problems import described

MediaType = Literal["application/json", "text/csv", "application/vnd.apache.arrow.stream"]
JSON: MediaType = "application/json"
CSV: MediaType = "text/csv"
ARROW: MediaType = "application/vnd.apache.arrow.stream"
OFFERED: tuple[MediaType, ...] = (JSON, CSV, ARROW)

FACTS = "Headrace-Answer"
"""The header with what an answer says beside its rows."""

TIME = pa.timestamp("us", "UTC")
"""Type of a column of times; CSV has them as RFC 3339."""
LABELS = pa.map_(pa.string(), pa.string())
"""Type of a column of labels, each value a list of pairs (`labels.items()`); CSV has them as JSON."""

_RFC_3339 = "%Y-%m-%dT%H:%M:%SZ"

TABULAR: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            CSV: {"schema": {"type": "string"}},
            ARROW: {"schema": {"type": "string", "format": "binary"}},
        },
        "headers": {
            FACTS: {
                "description": "CSV and Arrow: what the JSON form says beside its rows, as JSON.",
                "schema": {"type": "string"},
            },
            "ETag": {"description": "Names this version.", "schema": {"type": "string"}},
        },
    },
    304: {"description": "Not Modified: If-None-Match names the version that there is"},
    **described(406),
}
"""OpenAPI entries of a route that answers with rows."""


@dataclass(frozen=True)
class Accept:
    """The form that the client asked for."""

    media_type: MediaType

    def respond(
        self,
        answer: Answer,
        *,
        rows: str,
        table: Callable[[], pa.Table],
        json: Callable[[], bytes] | None = None,
        etag: ETag | None = None,
    ) -> Response:
        """The response.

        `rows` names the field of `answer` that the JSON form has the rows in; `table` makes the same
        rows as columns, and is called only when they are wanted. Columns may be numbers, booleans,
        strings, `TIME` and `LABELS`. `json` writes the field where it is not in `answer`: rows by the
        hundred are faster written from columns. `etag` is of `freshness.etag`.

        Raises:
            NotModified: the client has this answer.
        """
        headers = {}
        if self.media_type == JSON:
            if json is None:
                body = answer.model_dump_json().encode()
            else:
                beside = answer.model_dump_json(exclude={rows}).encode()
                body = b'%b,"%b":%b}' % (beside[:-1], rows.encode(), json())
        else:
            facts = dumps(answer.model_dump(mode="json", exclude={rows}), ensure_ascii=True)
            # All but ASCII is escaped: whatever a name holds, it can't split a header.
            headers[FACTS] = facts
            body = _csv(table()) if self.media_type == CSV else _arrow(table(), {"headrace": facts})
        if etag is not None:
            headers["ETag"] = etag.of(headers.get(FACTS, "").encode() + body)
        return Response(body, media_type=self.media_type, headers=headers)


async def _accept(request: Request) -> Accept:  # a plain function would be given a thread
    asked = ",".join(request.headers.getlist("accept"))
    best = best_media_type(asked, OFFERED)
    for media_type in OFFERED:
        if media_type == best:
            return Accept(media_type)
    raise HTTPException(406, f"This answer comes as {', '.join(OFFERED)}: accept one of them.")


Accepted = Annotated[Accept, Depends(_accept)]
"""What a route of rows answers with. Answers 406 when the client takes none of `OFFERED`."""


def _csv(table: pa.Table) -> bytes:
    for at, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            table = table.set_column(at, field.name, pc.strftime(table[at], format=_RFC_3339))
        elif pa.types.is_map(field.type):
            texts = [None if one is None else _object(one) for one in table[at].to_pylist()]
            table = table.set_column(at, field.name, pa.array(texts, pa.string()))
    sink = BytesIO()
    pyarrow.csv.write_csv(table, sink)
    return sink.getvalue()


def _object(pairs: list[tuple[str, str]]) -> str:
    return msgspec.json.encode(dict(pairs)).decode()


def _arrow(table: pa.Table, facts: Mapping[str, str]) -> bytes:
    table = table.replace_schema_metadata(facts)
    sink = BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()
