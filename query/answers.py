"""The base of every answer: a field that the OpenAPI document lacks can't slip out."""

from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    """A part of a response; its fields are the response's."""

    model_config = ConfigDict(frozen=True, extra="forbid")
