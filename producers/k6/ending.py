"""How a run ended: what k6 left in the folder, and the event that says it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from producers.k6.delivery import Delivery
from producers.k6.envelopes import Envelopes
from producers.k6.folder import RunFolder
from schemas.k6 import judged
from schemas.runs import RunAborted, RunFinished, RunStarted, Threshold

_COMPLETED = frozenset({0, 99})
"""Exit codes of a test that ran to its end; 99 where a threshold was crossed."""

_UNSEEN = 137
"""A shell's code for a killed program stands for one whose end nobody saw."""


@dataclass(frozen=True)
class Ending:
    """`code` as in `folder.Exit`, None where nobody saw it; `loss` says why points are missing."""

    code: int | None
    at: datetime
    loss: str
    summary: dict[str, Any] | None

    @classmethod
    def seen(cls, folder: RunFolder, *, whole: bool) -> Self:
        """What k6 left; `whole`: its file ends with a whole line."""
        ended, summary = folder.exit(), folder.summary()
        if ended is None:
            written = folder.points.stat().st_mtime
            return cls(None, datetime.fromtimestamp(written, UTC), "", summary)
        # A k6 that was killed may well leave half a line.
        lost = ended.code >= 0 and not whole
        loss = "k6 could not write all its points to disk (it said why); the others ARE LOST"
        return cls(ended.code, ended.at, loss if lost else "", summary)

    @property
    def completed(self) -> bool:
        """Whether the test ran to its end, passed or not."""
        return self.code in _COMPLETED

    @property
    def exit_code(self) -> int:
        """What a shell would say."""
        if self.code is None:
            return _UNSEEN
        return self.code if self.code >= 0 else 128 - self.code

    def thresholds(self, started: RunStarted, envelopes: Envelopes) -> list[Threshold]:
        """All that were stated, with k6's verdicts."""
        # What the script's options say last: they alone know whether a submetric's threshold aborts.
        return judged([*envelopes.thresholds, *started.thresholds], self.summary)

    def event(
        self, started: RunStarted, topic: str, envelopes: Envelopes, delivery: Delivery
    ) -> RunFinished | RunAborted:
        """What is published when everything else is delivered."""
        identity: dict[str, Any] = {
            "execution_id": started.execution_id,
            "tenant_id": started.tenant_id,
            "at": self.at,
            "runner": started.runner,
        }
        if self.loss:
            return RunAborted(**identity, reason=self.loss)
        if self.code is None:
            return RunAborted(**identity, reason="nobody saw how k6 ended")
        if self.code < 0:
            return RunAborted(**identity, reason=f"k6 was killed by signal {-self.code}")
        return RunFinished(
            **identity,
            topic=topic,
            sent=delivery.sent,
            exit_code=self.code,
            metrics=envelopes.metrics,
            thresholds=self.thresholds(started, envelopes),
            summary=self.summary,
        )
