"""Reads Accept and Accept-Encoding: how much a client wants each thing (RFC 9110, 12.5)."""

from collections.abc import Sequence

_PARTS = 100
"""Elements of a header that are read; an honest one has a dozen."""


def qualities(header: str) -> dict[str, float]:
    """Weight (0 to 1) by media range or coding, in lower case. What is not well-formed is left out."""
    found: dict[str, float] = {}
    for element in header.split(",", _PARTS)[:_PARTS]:
        what, *parameters = (part.strip().lower() for part in element.split(";"))
        weights = [text[2:] for text in parameters if text.startswith("q=")]
        weight = _weight(weights[0]) if weights else 1.0
        if what and weight is not None:
            found[what] = weight
    return found


def best_media_type(accept: str | None, offered: Sequence[str]) -> str | None:
    """The offered media type that the client likes best; None when it takes none of them.

    Of two that it likes alike, the one that it named more exactly, then the one offered first.
    """
    if accept is None or not accept.strip():
        return offered[0]
    wanted = qualities(accept)

    def rank(media_type: str) -> tuple[float, int]:
        # The most exact range decides, even when it forbids what a wider one allows.
        ranges = ("*/*", f"{media_type.partition('/')[0]}/*", media_type)
        exactness = max((i for i, one in enumerate(ranges) if one in wanted), default=None)
        return (0.0, 0) if exactness is None else (wanted[ranges[exactness]], exactness)

    best = max(offered, key=rank)
    return best if rank(best)[0] > 0 else None


def takes_gzip(accept_encoding: str) -> bool:
    """Whether an answer may be compressed with gzip."""
    wanted = qualities(accept_encoding)
    return wanted.get("gzip", wanted.get("*", 0.0)) > 0


def _weight(text: str) -> float | None:
    try:
        weight = float(text)
    except ValueError:
        return None
    return weight if 0 <= weight <= 1 else None
