"""Exceptions of mail templates: source refused, variables missing, rendering failed."""

from __future__ import annotations

from collections.abc import Iterable


class TemplateRefused(ValueError):
    """The source is not accepted.

    Attributes:
        part: "subject", "mjml", "html" or "text".
        line: the line in that part, from 1; None where no line is to blame.
        reason: a sentence.
    """

    def __init__(self, reason: str, *, line: int | None = None, part: str = "") -> None:
        self.reason, self.line, self.part = reason, line, part
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """Line and reason."""
        return f"line {self.line}: {self.reason}" if self.line else self.reason

    def of(self, part: str) -> TemplateRefused:
        """The same error, naming the part it is in."""
        return TemplateRefused(self.reason, line=self.line, part=self.part or part)


class MissingVariables(ValueError):
    """The template uses variables that it was not given.

    Attributes:
        names: all of them, such as "name" or "order.total", in order.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(sorted(set(names)))
        super().__init__(f"the template was not given: {', '.join(self.names)}")


class RenderFailed(ValueError):
    """Rendering the template was refused or failed.

    Attributes:
        reason: a sentence.
        line: the line of the template to blame, where one is known.
        part: "subject", "mjml", "html" or "text".
    """

    def __init__(self, reason: str, *, line: int | None = None, part: str = "") -> None:
        self.reason, self.line, self.part = reason, line, part
        where = ", ".join(filter(None, (part, f"line {line}" if line else "")))
        super().__init__(f"{where}: {reason}" if where else reason)


class TooMuch(RenderFailed):
    """The template takes more work, text or time than allowed."""
