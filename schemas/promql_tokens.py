"""The words of PromQL, one after the other, and what is said of one that no rule can stand for."""

import re

from schemas.errors import Invalid

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>(?:Inf|inf|NaN|nan|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?![a-zA-Z_\d]))
    | (?P<range>\[[^\]]*\])
    | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)
    | (?P<sign>==|!=|<=|>=|=~|!~|[<>={}(),+*/%^-])
    | (?P<other>\S)
    )""",
    re.VERBOSE | re.ASCII,
)


def refused(detail: str) -> Invalid:
    """The error that says why."""
    return Invalid("not_in_subset", detail)


class Tokens:
    """Reads tokens from the left; `kind` and `next` are the one to come, None and "" at the end."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.kind: str | None = None
        self.next = ""
        self._advance()

    def _advance(self) -> str:
        taken = self.next
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            self.kind, self.next = None, ""
        else:
            self._at = found.end()
            self.kind = found.lastgroup
            self.next = found[found.lastgroup or 0]
        return taken

    def take(self, kind: str, *texts: str) -> str:
        """The next token, of this kind and one of these texts."""
        if self.kind != kind or (texts and self.next not in texts):
            wanted = f"one of {' '.join(texts)}" if texts else f"a {kind}"
            raise refused(f"{wanted} is wanted where {self.next or 'the end'!r} stands")
        return self._advance()


def unquoted(text: str) -> str:
    """What a string in quotes says. Raises Invalid for an escape that is none."""
    try:
        return re.sub(r"\\(.)", _escaped, text[1:-1], flags=re.DOTALL)
    except KeyError as error:
        raise refused(f"the escape \\{error.args[0]} in {text}") from error


def _escaped(found: "re.Match[str]") -> str:
    return {"\\": "\\", '"': '"', "'": "'", "n": "\n", "t": "\t", "r": "\r"}[found[1]]
