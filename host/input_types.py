"""Types that the models of requests, settings and commands share: names of one line."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from tenants.text import one_line


def _one_line_or_none(text: str) -> str:
    return one_line(text) if text else text


OneLine = AfterValidator(_one_line_or_none)
"""Marks text of one line, composed (NFC), perhaps empty: `Annotated[str, Field(max_length=500), OneLine]`."""

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), OneLine]
"""What a person, an organisation or a thing is called: one line of 1 to 200 characters, blanks around it left out."""

Title = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200), OneLine]
"""A `Name` that may be left empty."""
