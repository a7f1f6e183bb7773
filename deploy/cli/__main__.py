"""`python -m deploy.cli` is `headrace`."""

from deploy.cli import main

main()
