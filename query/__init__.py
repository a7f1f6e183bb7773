"""query: the thin read API over the tenant views.

    api              puts the application together                  (deploy hands it keyring and pools)
      metrics, charts, points    routes of samples, of figures, of rollups
      catalog, definitions, deletion, keys, runs, health            the other routes
      comparison, baselines      a load test's run beside another of its runs
        comparing, noise, run_figures            what changed by more than noise
      results          all of one run, for the summary and the report of the commands
        parameters, credentials, problems, representations, freshness          the HTTP edge
        figures          what a figure is read from, and how exact it is then
          routing        the coarsest source that answers a question exactly
          settled        what of a range need not be read again
          aggregates, percentiles, rates, sketches                  partial figures, and how they merge
        series, matchers, pages, samples                            which series; rows of them
        filling, downsample, provenance, summaries                  what becomes of figures in an answer
          columns        figures over time as arrays, as the database sends them
          database       one transaction a request, in one tenant
            sql/*.sql    every query, on *_tenant views only

Imports `schemas` and nothing else of ours. Other packages use `create_api`, `TenantDatabase`, and what
`create_api` takes.
"""
