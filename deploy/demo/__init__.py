"""The demo: a service to be observed, load on it, and the proof that every point came through.

    items      the service under load: CRUD over its own schema      (item_store)
    k6/        the load: basic.js, crud.js, stress_ramp.js
    host       metrics of this machine, sent with the SDK while the load runs
    main_job   one demo from start to report: stack, service, load, workflow, figures
    report     what came out, beside k6's own figures, and whether they agree

Uses every other room and is used by the command line only.
"""
