"""Errors over HTTP as RFC 9457 problem details, and how OpenAPI shows them."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Generic, Self, TypeVar

from pydantic import BaseModel, Field

MEDIA_TYPE = "application/problem+json"
_SCHEMAS = "#/components/schemas/"
_Fault = TypeVar("_Fault", bound=BaseModel)


class Problem(BaseModel, Generic[_Fault]):
    """RFC 9457 problem details. Each API has one kind of `errors`, in a `Problem` of its own."""

    type: str = Field(default="about:blank", description="always about:blank: `status` says it all")
    title: str = Field(examples=["Unprocessable Entity"])
    status: int = Field(examples=[422])
    detail: str = Field(description="what to do next, for a person")
    errors: list[_Fault] = Field(default=[])

    @classmethod
    def of(cls, status: int, detail: str, errors: Sequence[_Fault] = ()) -> Self:
        """The problem of an HTTP status."""
        title = HTTPStatus(status).phrase
        return cls(title=title, status=status, detail=detail, errors=list(errors))

    def document(self) -> dict[str, Any]:
        """The body of a response; it has `errors` only when there are some."""
        return self.model_dump(exclude=set() if self.errors else {"errors"})


def described(*statuses: int) -> dict[int | str, dict[str, object]]:
    """OpenAPI entries of the problems that a route may answer with."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": f"{_SCHEMAS}Problem"}}},
        }
        for status in statuses
    }


def components(*models: type[BaseModel]) -> dict[str, Any]:
    """OpenAPI schemas of models that routes refer to without FastAPI's knowing, and of their parts."""
    found: dict[str, Any] = {}
    for model in models:
        schema = model.model_json_schema(ref_template=f"{_SCHEMAS}{{model}}")
        found |= schema.pop("$defs", {})
        found[model.__name__] = schema
    return found
