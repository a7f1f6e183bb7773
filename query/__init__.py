"""query: the thin read API over the tenant views.

    api          puts the application together                      (deploy hands it keyring and pool)
      metrics, runs, health      routes: parameters in, models out
        parameters, credentials, problems                           the HTTP edge
        samples, verdicts        what is read, and how far back; what a run comes to
          database               one read-only transaction a request, in one tenant
            sql/*.sql            every query, on *_tenant views only

Imports `schemas` and nothing else of ours. Only `create_api` and `TenantDatabase` are meant for
other packages.
"""
