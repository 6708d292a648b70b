"""Deployment settings of the hello plugin."""

from pydantic import BaseModel, Field


class HelloSettings(BaseModel, extra="forbid"):
    word: str = Field(default="Hello", min_length=1, max_length=50)  # first word of a greeting, 1 to 50 characters
