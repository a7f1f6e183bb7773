"""Arguments of commands that read results: which run."""

from typing import Annotated

import typer

Run = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run's id, `latest` (the newest finished one), or a baseline's name.",
        show_default=False,
    ),
]
Test = Annotated[
    str | None,
    typer.Option(help="The test that `latest` or the baseline's name is of. [any]"),
]
