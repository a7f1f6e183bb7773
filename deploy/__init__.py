"""deploy: where processes are put together and run.

The composition root: the CLI (`deploy.cli`), the stack of one machine (`deploy.local`), and what
production uses (compose, Kubernetes, dashboards, runbooks). It may import every room; only the
tests may import it.
"""
