"""Turns k6's JSON lines into envelopes, in one pass and with no object a point but the decoder's.

The bytes are cut first, at line ends, and each piece becomes one envelope: so an envelope knows which bytes
it holds, and whoever finds it in Kafka knows where to go on. A piece is decoded at once; only one that holds
something else than points is looked at line by line.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, NamedTuple
from uuid import UUID

import msgspec

from producers.k6.labels import Labels
from producers.k6.urls import USUAL, Folding, Urls
from schemas.envelopes import UNREADABLE, NumericSample, raw_bytes, readable
from schemas.k6 import Point, decode_metric, decode_point, decode_points
from schemas.runs import Threshold

PIECE = 128 << 10
"""Bytes of lines in one envelope: about 400 points, where the cost of a record no longer shows. A record
takes eight times as much, so that no piece becomes too large for one, however its labels are written."""

MAX_LINE = 4 << 20
"""A longer line is no line of k6; it is dropped and counted, so that a wrong file can't fill the memory."""


class Envelope(NamedTuple):
    """A record's value, the number of points in it, and the position after the last byte that it holds."""

    points: int
    value: bytes
    end: int


class Envelopes:
    """Takes bytes in any division, gives whole envelopes, remembers what the lines said about the run.

    `at` is the position of the first byte.
    """

    piece: ClassVar = PIECE

    def __init__(
        self,
        *,
        tenant_id: UUID,
        source: str,
        execution_id: UUID,
        at: int = 0,
        folding: Folding = USUAL,
    ) -> None:
        self._encode = msgspec.json.Encoder().encode
        head = {"tenant_id": tenant_id, "source": source, "execution_id": execution_id}
        self._head = self._encode(head)[:-1] + b',"metrics":'
        self._urls = Urls(folding)
        self._labels = Labels(self._urls)
        self._carry = b""
        self._at = at
        """Position after the last piece."""
        self._overlong = False
        self.lines = 0
        """Lines behind us."""
        self.points = 0
        """Points in envelopes so far."""
        self.malformed = 0
        """Lines that are neither a point nor a metric."""
        self.complaint = ""
        """Number of the first malformed line, and what was wrong with it."""
        self.latest = ""
        """Time of the latest point. Compared as text: right to a second, as k6 writes one zone a run."""
        self.metrics: dict[str, str] = {}
        """Name to type, of every metric declared so far."""
        self.thresholds: list[Threshold] = []
        """Of metrics; k6 does not write those of submetrics."""

    @property
    def named(self) -> list[str]:
        """URLs that thresholds name, and that are left as they are therefore."""
        return sorted(self._urls.named)

    def recall(
        self, metrics: dict[str, str], thresholds: list[Threshold], named: list[str]
    ) -> None:
        """Take over what lines before `at` have declared."""
        self.metrics, self.thresholds = dict(metrics), list(thresholds)
        self._labels.name(named)

    @property
    def adapted(self) -> int:
        """Distinct tag sets that had to be changed for ingest to take them."""
        return self._labels.adapted

    @property
    def waiting(self) -> bool:
        """Whether bytes wait for an envelope to fill."""
        return bool(self._carry)

    def feed(self, block: bytes) -> Iterator[Envelope]:
        """Read a block; yields the envelopes that it filled."""
        data, at = self._carry + block, 0
        while len(data) - at >= self.piece and (end := self._piece(data, at)):
            yield from self._sealed(data[at:end])
            at = end
        self._carry = data[at:]
        if len(self._carry) > MAX_LINE:
            self._drop()

    def pack(self, points: Sequence[Point]) -> bytes:
        """A record's value that holds these points."""
        labels = self._labels.of
        self.points += len(points)
        self.latest = max(self.latest, *[point.data.time for point in points], "")
        samples = [
            NumericSample(
                point.metric, point.data.value, labels(raw_bytes(point.data.tags)), point.data.time
            )
            for point in points
        ]
        return self._head + self._encode(samples) + b"}"

    def name(self, urls: Iterable[str]) -> None:
        """Leave these URLs as they are: thresholds name them."""
        self._labels.name(urls)

    def flush(self) -> Iterator[Envelope]:
        """Yield the whole lines that wait for an envelope to fill."""
        if end := self._carry.rfind(b"\n") + 1:
            lines, self._carry = self._carry[:end], self._carry[end:]
            yield from self._sealed(lines)

    def end(self) -> Iterator[Envelope]:
        """The input is over: a last line without line end counts too."""
        lines, self._carry = self._carry, b""
        if lines:
            yield from self._sealed(lines)

    def _piece(self, data: bytes, at: int) -> int:
        """Where the piece that starts here ends: after the whole lines that fit, or after one that does not."""
        last = at + self.piece
        return data.rfind(b"\n", at, last) + 1 or data.find(b"\n", last) + 1

    def _drop(self) -> None:
        if not self._overlong:
            self._reject(self.lines + 1, f"a line of more than {MAX_LINE} bytes")
        self._overlong = True
        self._at += len(self._carry)
        self._carry = b""

    def _sealed(self, lines: bytes) -> Iterator[Envelope]:
        self._at += len(lines)
        if self._overlong:  # what precedes the first line end belongs to the line that is dropped
            self._overlong = False
            self.lines += 1
            lines = lines.partition(b"\n")[2]
        points = self._read(lines)
        self.lines += lines.count(b"\n")
        if points:
            yield Envelope(len(points), self.pack(points), self._at)

    def _read(self, lines: bytes) -> Sequence[Point]:
        """The points of whole lines."""
        try:
            return decode_points(lines)
        except UNREADABLE:
            return self._one_by_one(lines)

    def _one_by_one(self, lines: bytes) -> list[Point]:
        points = []
        for number, line in enumerate(lines.split(b"\n"), self.lines + 1):
            try:
                points.append(decode_point(line))
            except UNREADABLE as error:
                self._declare(number, line, error)
        return points

    def _declare(self, number: int, line: bytes, error: Exception) -> None:
        if not line.strip():
            return
        try:
            metric = decode_metric(line)
        except UNREADABLE:
            self._reject(number, f"{readable(error)}: {line[:200].decode(errors='replace')}")
            return
        self.metrics[metric.metric] = metric.data.type
        # k6 writes a metric once; a file of several runs joined together would repeat it.
        self.thresholds += [one for one in metric.thresholds() if one not in self.thresholds]
        self._labels.name(metric.named_urls())

    def _reject(self, line: int, complaint: str) -> None:
        self.malformed += 1
        self.complaint = self.complaint or f"line {line:,}: {complaint}"
