"""The deployment's settings of hello."""

from pydantic import BaseModel, Field


class HelloSettings(BaseModel, extra="forbid"):
    word: str = Field(default="Hello", min_length=1, max_length=50)  # what a greeting begins with
