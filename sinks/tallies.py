"""Counts what became of a batch's samples: for the ledger, and of points for that of their runs. Pure."""

from collections import Counter
from collections.abc import Sequence
from typing import cast
from uuid import UUID

import numpy as np
import pyarrow as pa

from schemas.batches import Batch, Record, Reject, Rows, Source


def tally(
    batch: Batch,
    samples: Rows,
    points: Rows,
    rejects: Sequence[Reject],
    deduplicated: dict[Source, int],
) -> dict[Source, Counter[str]]:
    """Samples by source and by what became of them: received is the sum of the others."""
    ends = np.cumsum([0, *batch.counts])
    rows = np.concatenate([samples.record, points.record])
    upto = np.append(0, np.bincount(rows, minlength=len(batch.records)).cumsum())
    stored = np.diff(upto[ends]).tolist()
    found = {
        source: Counter(stored=count) for source, count in zip(batch.claims, stored, strict=True)
    }
    for reject in rejects:
        found[_source(reject.record)]["dead_lettered"] += 1
    for refusal in batch.refusals:
        found[_source(refusal.record)]["rejected"] += refusal.samples
    for source, count in deduplicated.items():
        found[source]["deduplicated"] += count
    for counter in found.values():
        counter["received"] = counter.total()
    return found


def tally_runs(
    records: Sequence[Record], points: Rows, rejects: Sequence[Reject]
) -> tuple[list[UUID], list[str], list[int], list[int], list[int]] | None:
    """Columns of the runs' ledger: execution, topic, partition, stored, dead-lettered; None for no run."""
    stored: Counter[tuple[bytes, Source]] = Counter()
    if points.data.num_rows:
        # A record holds points of one execution: counting records is counting executions.
        first = np.unique(points.record, return_index=True)[1]
        executions = cast(
            "list[bytes]",
            points.data["execution_id"].take(pa.array(first.astype(np.int64))).to_pylist(),
        )
        counts = np.bincount(points.record)
        for position, execution in zip(first, executions, strict=True):
            record = records[points.record[position]]
            stored[execution, _source(record)] += int(counts[points.record[position]])
    buried = Counter((r.execution, _source(r.record)) for r in rejects if r.execution is not None)
    keys = sorted({*stored, *buried})
    if not keys:
        return None
    return (
        [UUID(bytes=execution) for execution, _ in keys],
        *source_columns([source for _, source in keys]),
        [stored[key] for key in keys],
        [buried[key] for key in keys],
    )


def source_columns(sources: Sequence[Source]) -> tuple[list[str], list[int]]:
    """Topics and partitions, as two arguments of a query."""
    return [s.topic for s in sources], [s.partition for s in sources]


def _source(record: Record) -> Source:
    return Source(record.topic, record.partition)
