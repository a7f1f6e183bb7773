"""Bridges k6 to Kafka: runs it, streams its points, says when the run began and how it ended.

    k6 ─→ fifo ─→ envelopes ─→ spool ─→ delivery ─→ the samples topic
          (one thread)     memory, then disk   (event loop)      ╰→ the run events

The thread never waits for Kafka, so k6 never does; only a spool at its limit stalls it. `run` puts the
parts together, `imports` does the same for a file, `kept` finishes what an interrupted bridge left.
The environment is handed in; nothing here reads it.
"""
