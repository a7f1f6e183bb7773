"""The stack of one machine: real Kafka, PostgreSQL and Temporal, and headrace's own processes.

    stack        what callers use: start, stop and look at a stack        (CLI, tests, demo)
      supervisor one process that starts everything, watches it, stops it
        kafka, postgres, temporal    how one server is prepared, run and asked
        processes                    the table of headrace's own processes
      reaper     outlives the supervisor and stops what it left behind
    state, home, ports, leftovers    what is written down, where, and who else is there

Only `stack` is meant for other packages. Everything is kept below one folder (`home`).
"""
