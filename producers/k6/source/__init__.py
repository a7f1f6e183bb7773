"""Takes k6 runs out of a topic that the archived Kafka extension (xk6-output-kafka) writes.

    topic ─→ messages ─→ merge ─→ boundaries ─→ envelopes + run events
             points      by time   which run      marked with the source offsets they hold

These are pure. `consumer` stays in the group through outages, `reading` moves the batches when it is its turn,
`sending` publishes. What Kafka already holds is the only state: every record that is published carries a
mark, and `log` reads the marks back (decision 011).
"""
