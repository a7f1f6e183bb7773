"""Post-test: from a run whose points are all sent to aggregates, a verdict and no raw points.

wait for ingest → aggregate → evaluate thresholds → verify counts → clean up → finish
                     ▲                                   │ mismatch
                     └────────── a few times ────────────┘ then fail, and delete nothing
"""
