"""Maintenance: what keeps rollups fresh and storage bounded, on two Temporal schedules.

every interval   refresh → forget
every hour       ensure → catch up → retain → compact

A round is skipped while the one before it runs. Parts don't depend on each other: one that fails is
tried again in the next round and does not keep the others from running.
"""
