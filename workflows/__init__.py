"""What happens over minutes and days, as Temporal workflows, and what starts them.

Above `schemas` and `sinks`, which it reaches through ports. A folder a workflow: `types` (input,
progress, ports), `workflow` (order and patience, no I/O), `activities` (the I/O, each step idempotent).
"""
