"""Routes of figures over time: series in buckets, and aggregates of a whole range."""

from fastapi import APIRouter, Request, Response

from query import figures, freshness, settled
from query.aggregates import plan_of
from query.chart_answers import (
    Aggregate,
    Aggregates,
    BucketedSeries,
    aggregates_table,
    groups_json,
    points_json,
    points_table,
)
from query.credentials import Tenant
from query.downsample import thin
from query.figures import Question
from query.filling import fill as fill_gaps
from query.parameters import (
    A_MINUTE,
    ALL_FIGURES,
    FIGURES,
    NO_LABELS,
    Aggregation,
    Bucket,
    By,
    End,
    Figures,
    Fill,
    Labels,
    Matchers,
    MaxPoints,
    MetricInPath,
    Start,
    TimeRange,
    check_buckets,
    check_points,
    time_range,
)
from query.parts import Wired
from query.paths import NAME
from query.provenance import described, sourced
from query.representations import TABULAR, Accepted
from query.series import select
from query.subject import look_up
from schemas import problems

router = APIRouter(
    prefix="/api/v1/metrics",
    tags=["metrics"],
    responses=problems.described(401, 403, 422, 503, 504),
)


@router.get(
    "/series" + NAME,
    summary="A metric in buckets of time",
    response_model=BucketedSeries,
    responses=TABULAR,
)
async def bucketed(
    *,
    request: Request,
    parts: Wired,
    accepted: Accepted,
    tenant: Tenant,
    name: MetricInPath,
    label: Labels = NO_LABELS,
    match: Matchers = NO_LABELS,
    by: By = NO_LABELS,
    start: Start = None,
    end: End = None,
    bucket: Bucket = A_MINUTE,
    agg: Aggregation = None,
    fill: Fill = "none",
    max_points: MaxPoints = None,
) -> Response:
    """Aggregate the numbers of all matching series together, or by label.

    Buckets are aligned to 1970-01-01T00:00:00Z. Read from the coarsest rollup that gives what the raw
    samples would give; `source` says which. Percentiles are exact, interpolated between ranks, or
    within `relative_error` from sketches. A rate is followed series by series, then added up.
    """
    now = parts.clock()
    asked = time_range(start, end, now)
    check_buckets(asked, bucket)
    async with parts.database.reading(tenant, "generic") as reading:
        subject = await look_up(
            reading,
            name,
            label,
            match,
            asked,
            plan=plan_of(bucket),
            with_hours=agg != "rate" and settled.is_worth_it(asked),
        )
        defined = subject.defined
        figure = agg or defined.aggregation
        kept = parts.retention.kept(now, defined.retention_days)
        hours = subject.hours
        recollection = parts.memory.recollection(tenant, hours, now) if hours else None
        question = Question(asked, bucket, now, kept, defined, recollection)
        route = question.route(figure)
        etag = freshness.etag(
            subject.state, request, tenant, asked=route.asked, level=route.level, now=now
        )
        selection = select(name, await subject.series(), by)
        check_points(len(selection.labels), asked, bucket)
        found = await figures.series(reading, selection, question, figure)
    width = found.route.bucket or bucket
    filled = [fill_gaps(points, found.route.asked, width, fill) for points in found.values]
    if max_points:
        filled = [points.take(thin(points.value, max_points)) for points in filled]
    groups = list(zip(selection.labels, filled, strict=True))
    # Made of our own figures: to check them again takes longer than to write them.
    answer = BucketedSeries.model_construct(
        **described(name, defined),
        **sourced(found.route, exact=found.exact),
        bucket_seconds=width.total_seconds(),
        agg=figure,
        points=[],
        groups=[],
    )
    return accepted.respond(
        answer,
        rows="groups" if by else "points",
        json=lambda: groups_json(groups) if by else points_json(groups[0][1]),
        table=lambda: points_table(groups),
        etag=etag,
    )


@router.get(
    "/aggregate" + NAME,
    summary="Figures of a metric over a range",
    response_model=Aggregates,
    responses=TABULAR,
)
async def aggregated(
    *,
    request: Request,
    parts: Wired,
    accepted: Accepted,
    tenant: Tenant,
    name: MetricInPath,
    label: Labels = NO_LABELS,
    match: Matchers = NO_LABELS,
    by: By = NO_LABELS,
    start: Start = None,
    end: End = None,
    agg: Figures = ALL_FIGURES,
) -> Response:
    """Take the numbers of all matching series together, or by label, over the whole range."""
    now = parts.clock()
    asked = time_range(start, end, now)
    wanted = [one for one in FIGURES if one in agg.split(",")]
    async with parts.database.reading(tenant, "generic") as reading:
        subject = await look_up(reading, name, label, match, asked, plan="generic")
        defined = subject.defined
        kept = parts.retention.kept(now, defined.retention_days)
        question = Question(asked, None, now, kept, defined)
        routes = [question.route(one) for one in wanted]
        etag = freshness.etag(
            subject.state,
            request,
            tenant,
            asked=TimeRange(min(r.asked.start for r in routes), max(r.asked.end for r in routes)),
            level=max((r.level for r in routes), key=freshness.SETTLING.__getitem__),
            now=now,
        )
        selection = select(name, await subject.series(), by)
        found = await figures.whole(reading, selection, question, wanted)
    rows = [
        Aggregate(labels=labels, **dict.fromkeys(FIGURES) | values)
        for labels, values in zip(selection.labels, found.values, strict=True)
    ]
    answer = Aggregates(
        **described(name, defined),
        **sourced(*found.routes, exact=found.exact),
        percentile_source=found.percentiles and found.percentiles.level,
        groups=rows,
    )
    return accepted.respond(answer, rows="groups", table=lambda: aggregates_table(rows), etag=etag)
