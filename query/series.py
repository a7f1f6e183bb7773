"""What is known of a metric's series, and the groups that they are taken together in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from query.problems import bad_parameter
from schemas.definitions import Aggregation, MetricType

MAX_GROUPS = 1_000

Labels = dict[str, str]


@dataclass(frozen=True)
class Defined:
    """What a metric's definition says about its answers; nothing of one that is not defined."""

    display_name: str | None = None
    unit: str | None = None
    type: MetricType | None = None
    aggregation: Aggregation = "avg"
    retention_days: int | None = None

    @property
    def is_sketched(self) -> bool:
        """Whether sketches are kept of it."""
        return self.type in {"histogram", "summary"}


@dataclass(frozen=True)
class Selection:
    """Series of a metric to read, ascending, and beside each the number of its group.

    `labels` has what the series of a group have in common, by the group's number.
    """

    name: str
    ids: list[int]
    groups: list[int]
    labels: list[Labels]


def select(name: str, series: Mapping[int, Labels], by: Sequence[str]) -> Selection:
    """Group a metric's series by labels; a label that a series lacks is empty. Without labels, all together.

    Raises a validation error when the groups are too many.
    """
    keys = [tuple(labels.get(key, "") for key in by) for labels in series.values()]
    distinct = sorted(set(keys)) if by else [()]
    if len(distinct) > MAX_GROUPS:
        raise bad_parameter(
            "by", f"makes {len(distinct)} groups; at most {MAX_GROUPS}: narrow with label or match"
        )
    number = {key: at for at, key in enumerate(distinct)}
    return Selection(
        name,
        list(series),
        [number[key] for key in keys],
        [dict(zip(by, key, strict=True)) for key in distinct],
    )
