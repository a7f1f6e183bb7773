"""Decides what a sample may be: one set of rules for the SDK, the gateway and ingest.

Each check returns nothing and raises `Invalid`, whose `reason` is one of these stable words:

    bad_name  bad_source  bad_labels  bad_value     wrong type, empty, or against the pattern
    text_too_long                                   a name, label or text value over its limit
    nul_character  bad_text                         PostgreSQL stores no U+0000, UTF-8 no lone surrogate
    not_finite                                      NaN and infinities, and integers beyond a float64
    out_of_range                                    a number beyond ±1e290
"""

import math
import re
from collections.abc import Mapping

from schemas.errors import Invalid

Value = float | bool | str
"""What is measured; integers are floats here, as PEP 484 has it."""

MAX_LABELS = 64
MAX_NAME_BYTES = 256
MAX_LABEL_KEY_BYTES = 256
MAX_TEXT_BYTES = 1024
"""Of a text value and of a label's value, in UTF-8."""
MAX_SAMPLES = 10_000
"""In one envelope, and in one request to the gateway."""

MAX_MAGNITUDE = 1e290
"""Of a number: a sum over 1e18 of them is still a float64, so no rollup can ever overflow."""

LABEL_KEY = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.]*", re.ASCII)


def check_name(name: object) -> None:
    """A metric's name: 1 to 256 bytes of text."""
    if not isinstance(name, str) or not name:
        raise Invalid("bad_name", f"name must be a non-empty string, not {_shown(name)}")
    _check_text("name", name, MAX_NAME_BYTES)


def check_source(source: object) -> None:
    """What produced the samples; part of the record key, so one source stays in order."""
    if not isinstance(source, str) or not source:
        raise Invalid("bad_source", f"source must be a non-empty string, not {_shown(source)}")
    _check_text("source", source, MAX_NAME_BYTES)


def check_labels(labels: object) -> None:
    """At most 64 pairs of strings; keys as `host` or `http.method`, values up to 1 KiB."""
    if not isinstance(labels, Mapping):
        raise Invalid("bad_labels", f"labels must map strings to strings, not be {_shown(labels)}")
    if len(labels) > MAX_LABELS:
        raise Invalid("bad_labels", f"{len(labels)} labels; at most {MAX_LABELS} are allowed")
    for key, value in labels.items():
        if not isinstance(key, str) or not LABEL_KEY.fullmatch(key):
            raise Invalid("bad_labels", f"label key {_shown(key)} must match {LABEL_KEY.pattern}")
        if not isinstance(value, str):
            raise Invalid("bad_labels", f"label {key} must be a string, not {_shown(value)}")
        _check_text("label key", key, MAX_LABEL_KEY_BYTES)
        _check_text(f"label {key}", value, MAX_TEXT_BYTES)


def check_value(value: object) -> None:
    """A finite number within ±1e290, a boolean, or text of at most 1 KiB."""
    if isinstance(value, str):
        _check_text("value", value, MAX_TEXT_BYTES)
    elif isinstance(value, int | float):  # bool is an int
        try:
            finite = math.isfinite(value)
        except OverflowError:
            finite = False
        if not finite:
            raise Invalid("not_finite", "value must be a finite number within float64")
        if abs(value) > MAX_MAGNITUDE:
            raise Invalid("out_of_range", f"value must be within ±{MAX_MAGNITUDE:g}")
    else:
        raise Invalid(
            "bad_value", f"value must be a number, a boolean or text, not {_shown(value)}"
        )


def _check_text(what: str, text: str, limit: int) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise Invalid("bad_text", f"{what} holds a lone surrogate, which is not text") from None
    if size > limit:
        raise Invalid("text_too_long", f"{what} has {size} bytes; at most {limit} are allowed")
    if "\0" in text:
        raise Invalid("nul_character", f"{what} holds U+0000, which the database can't store")


def _shown(value: object) -> str:
    shown = repr(value)
    return f"{type(value).__name__} {shown[:40]}{'…' if len(shown) > 40 else ''}"  # noqa: PLR2004 # fits a line
