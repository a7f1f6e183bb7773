DROP VIEW run_ledger_tenant, k6_aggregates_tenant, runs_tenant, samples_tenant, series_tenant;
