"""Complaints instead of stack traces; a bug keeps its trace."""

from __future__ import annotations

import pytest

from host.cli.command import as_complaint, sentences
from host.errors import ConfigurationError, NotFound, ValidationFailed


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("no such key"), "CONFIGURATION"),
        (NotFound("There is no such tenant."), "NOT_FOUND"),
        (ConnectionRefusedError("refused"), "UNAVAILABLE"),
        (TimeoutError(), "UNAVAILABLE"),
    ],
)
def test_error_when_a_person_can_mend_it_then_is_a_complaint(error: Exception, code: str) -> None:
    complaint = as_complaint(error)
    assert complaint is not None
    assert complaint.code == code
    assert complaint.message


def test_error_when_fields_are_wrong_then_the_complaint_names_them() -> None:
    complaint = as_complaint(ValidationFailed(details={"slug": "is reserved"}))
    assert complaint is not None
    assert "slug: is reserved" in complaint.message


def test_error_when_it_is_a_bug_then_is_no_complaint() -> None:
    assert as_complaint(KeyError("x")) is None


def test_sentences_when_several_are_listed_then_come_without_headline() -> None:
    assert sentences("2 things are wrong:\n- one\n- two") == ["one", "two"]
    assert sentences("one") == ["one"]
