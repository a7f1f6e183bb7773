"""How a metric's name stands in a path: any text, with slashes and line breaks."""

from starlette.convertors import Convertor, register_url_convertor


class _NameConvertor(Convertor[str]):
    r"""Takes all that is left of the path.

    Starlette's own `path` stops at a line break, and overlooks one at the end: of two metrics `a` and
    `a\n` the first would be deleted in the place of the second.
    """

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


# At import, for routes are compiled where they are declared.
register_url_convertor("metric_name", _NameConvertor())

ANY = "metric_name"
"""The convertor's name, for other names that may be any text."""

NAME = f"/{{name:{ANY}}}"
"""The end of a path that names a metric; its parameter is `query.parameters.MetricInPath`."""

DOMAIN = "/{domain:metric_name}"
"""As `NAME`, of a domain, which may be any text that a test tags its requests with."""
