r"""Folds URLs to endpoints, so that a test with a million items does not make a million series.

k6's own grouping comes first: a request's `name` tag, a template of `http.url`, and a URL that a threshold
names stay as they are. To any other URL the user's rules are applied (what the expression finds is
replaced, `\1` is its first group), then the default one: query string and fragment go, and a segment that
is an identifier becomes `{id}`:

    http://shop/items/42?full=1             →  http://shop/items/{id}
    http://shop/users/0190f1c4-…/cart.json  →  http://shop/users/{id}/cart.json
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from schemas.errors import Permanent

PLACEHOLDER = "{id}"

_SEPARATOR = "=>"

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#]*")
"""Scheme and host. What has none is a name that somebody chose, or a gRPC method."""

_TEMPLATE = "${}"
"""What `http.url` leaves in place of a value."""

_GROWTH = 64
"""Characters by which rules may lengthen a URL: an envelope has room for so much."""

_SHORTEST_WORD = 16
"""Letters of the shortest identifier that has no digit: hexadecimal."""

_ID = re.compile(
    r"""(?: \d[\d-]*                                                # 42, 2026-01-31
          | [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}   # UUID
          | [0-9a-f]{16,}                                           # ObjectId, digest, UUID without dashes
          | [0-7][0-9a-hjkmnp-tv-z]{25}                             # ULID
          | (?-i:(?=[^/]*\d)(?=[^/]*[a-z])(?=[^/]*[A-Z])[\w=-]{20,})      # KSUID, nanoid, base64url
        )(\.[a-z][a-z0-9]{0,4})?                                    # 42.png
    """,
    re.ASCII | re.IGNORECASE | re.VERBOSE,
)


@dataclass(frozen=True)
class Folding:
    """How URLs are folded. `rules` as people write them; `by_default`: whether ours follows them."""

    rules: tuple[str, ...] = ()
    by_default: bool = True


USUAL = Folding()


class Urls:
    """Folds the `name` and `url` among a point's tags."""

    def __init__(self, folding: Folding) -> None:
        """Read the rules. Raises Permanent."""
        self._rules = [_rule(one) for one in folding.rules]
        self._by_default = folding.by_default
        self.named: set[str] = set()
        """URLs that a threshold's submetric names: folded, it would find no points."""

    def name(self, values: Iterable[str]) -> bool:
        """Leave these values alone from now on; says whether that is new."""
        fresh = set(values) - self.named
        self.named |= fresh
        return bool(fresh)

    def fold(self, tags: dict[str, str]) -> dict[str, str]:
        """These tags with their URLs folded; the same object where nothing changes."""
        url, name = tags.get("url"), tags.get("name")
        # Since 0.41 k6 gives both the same value: a name that differs was chosen, before that version too.
        whole = name if url is None else url
        if whole is None or (folded := self.folded(whole)) == whole:
            return tags
        return tags | {key: folded for key in ("url", "name") if tags.get(key) == whole}

    def folded(self, url: str) -> str:
        """One value; itself if it is no URL, or grouped already."""
        if _TEMPLATE in url or url in self.named or not _URL.match(url):
            return url
        longest = len(url) + _GROWTH
        for expression, replacement in self._rules:
            url = expression.sub(replacement, url)[:longest]
        return _without_ids(url) if self._by_default else url


def _rule(text: str) -> tuple["re.Pattern[str]", str]:
    expression, separator, replacement = text.partition(_SEPARATOR)
    if not separator or not expression:
        raise Permanent(f"URL rule {text!r}: write REGEX{_SEPARATOR}REPLACEMENT.")
    try:
        # A replacement is read when something is found; the empty alternative makes that now.
        re.sub(f"(?:{expression})|", replacement, "")
        return re.compile(expression), replacement
    except (re.error, IndexError) as error:
        raise Permanent(f"URL rule {text!r} is not understood: {error}.") from error


def _without_ids(url: str) -> str:
    found = _URL.match(url)
    if found is None:  # a rule has made something else of it
        return url
    path = re.split(r"[?#]", url[found.end() :], maxsplit=1)[0]
    return found.group() + "/".join(map(_segment, path.split("/")))


def _segment(segment: str) -> str:
    if segment.isalpha() and len(segment) < _SHORTEST_WORD:  # nearly all that stay
        return segment
    found = _ID.fullmatch(segment)
    return segment if found is None else PLACEHOLDER + (found.group(1) or "")
