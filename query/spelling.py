"""Refuses query parameters that a route doesn't know: a misspelt filter must not be ignored in silence."""

from difflib import get_close_matches

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

_NAMED = 5
"""Unknown parameters that an answer names."""
_SHOWN = 100
"""Characters of one that it shows."""
_KNOWN: dict[str, set[str]] = {}
"""Parameters by route: they are all over its dependencies."""


def check_spelling(request: Request) -> None:
    """Raise a validation error that names the parameters which this route doesn't know."""
    route = request.scope["route"]
    known = _known(route) if isinstance(route, APIRoute) else set()
    unknown = [name for name in dict.fromkeys(request.query_params) if name not in known]
    if unknown:
        raise RequestValidationError(
            [
                {"loc": ("query", name[:_SHOWN]), "msg": _reason(name, known), "type": "unknown"}
                for name in unknown[:_NAMED]
            ]
        )


def _known(route: APIRoute) -> set[str]:
    if route.unique_id not in _KNOWN:
        _KNOWN[route.unique_id] = _parameters(route.dependant)
    return _KNOWN[route.unique_id]


def _parameters(dependant: Dependant) -> set[str]:
    own = {field.alias for field in dependant.query_params}
    return own.union(*map(_parameters, dependant.dependencies))


def _reason(name: str, known: set[str]) -> str:
    if not known:
        return "is no parameter of this route, which has none"
    near = get_close_matches(name[:_SHOWN], sorted(known), n=1, cutoff=0.5)
    if near:
        return f"is no parameter of this route: did you mean {near[0]!r}?"
    return f"is no parameter of this route: it has {', '.join(sorted(known))}"
