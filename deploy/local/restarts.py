"""Decides when a process that exited is started again."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Restarts:
    """Wait longer after each exit; a process that stayed up for a while begins anew."""

    first: float = 0.5
    longest: float = 30.0
    healthy_after: float = 60.0
    """Seconds of readiness after which earlier exits are forgotten."""
    patience: int = 3
    """Exits in a row before the process is shown as failed (and still started again)."""
    final_code: int | None = None
    """The exit code after which another start is useless."""

    def exits_in_a_row(self, before: int, ready_for: float) -> int:
        """Count this exit, given the exits before it and its seconds of readiness."""
        return 1 if ready_for >= self.healthy_after else before + 1

    def delay(self, exits: int, code: int) -> float | None:
        """Seconds to wait before the next start; None: never."""
        if code == self.final_code:
            return None
        return min(self.first * 2.0 ** min(exits - 1, 10), self.longest)


APP_RESTARTS = Restarts(final_code=2)
"""headrace's processes exit with 2 when their configuration is wrong."""
SERVER_RESTARTS = Restarts(patience=1)
"""A server that is down is news at once."""
