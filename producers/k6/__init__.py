"""Bridges k6 to Kafka: runs it, streams its points, says when the run began and how it ended.

    keeper ─→ k6 ─→ points.json ─→ tail ─→ envelopes ─→ delivery ─→ the samples topic
                    (the run's folder)    (one event loop)       ╰→ the run events

k6 never waits for the bridge, and outlives it: the file is the queue. `bridge` works on a run's folder, `run`
starts one or goes on with it, `imports` does the same for a finished run's file. The environment is handed in;
nothing here reads it.
"""
