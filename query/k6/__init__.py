"""query.k6: dashboards of load tests, over the rows that the post-test workflow leaves of each run.

ROUTERS         of the routes below, for query.api
  series        nine figures over time          stats, overview    cards of runs, tests at a glance
  requests      tables by endpoint and domain   findings           errors, checks, thresholds
    answers     what each answer says of itself, and how it is sent
    runs        which runs are asked about, and the version of what is known of them
    figures     rows of one shape into figures; percentiles by merging sketches
    intervals   what a series is read from, in how wide steps
"""

from query.k6 import findings, requests, series, stats

ROUTERS = (series.router, stats.router, requests.router, findings.router)
