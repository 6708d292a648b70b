"""Print results and errors of commands: tables and sentences, or one JSON document with --json."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NoReturn, TextIO

import click
import orjson
from pydantic import BaseModel
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

Facts = Mapping[str, Any]
WIDE = 1_000  # columns of a table that goes into a pipe
UNBROKEN = {"id", "slug", "method", "state", "version"}


class Complaint(Exception):
    """Something a person can put right: what is wrong, and the fix."""

    def __init__(self, message: str, fix: str = "", *, code: str = "FAILED", details: Facts | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.code = code
        self.details = dict(details or {})


class Terminal:
    """The output of one command: results on standard output, errors and progress on standard error.

    With `as_json` the whole of standard output is one document, `{"success": …, "data": …}` or
    `{"success": false, "error": {…}}`, so that a script can read it whatever happened.
    """

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json
        self.out, self.err = _console(sys.stdout), _console(sys.stderr)

    # -- results -----------------------------------------------------------------------------------------

    def done(self, data: Any, *sentences: str) -> None:
        """The result of a command that did one thing: `data` for machines, the sentences for people."""
        if self.as_json:
            self._document({"success": True, "data": data})
        for sentence in sentences if not self.as_json else ():
            self.out.print(Text(sentence))

    def rows(self, rows: Sequence[Facts], columns: Sequence[str], *, empty: str) -> None:
        """A list: the columns named, in this order, or the sentence `empty` when there is nothing to show."""
        if self.as_json:
            return self.done(list(rows))
        if not rows:
            return self.done(None, empty)
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column.replace("_", " "), overflow="fold", no_wrap=column in UNBROKEN)
        for row in rows:
            table.add_row(*(Text(_cell(row.get(column))) for column in columns))
        self.out.print(table)

    def facts(self, facts: Facts) -> None:
        """One thing, a line for each of its facts."""
        if self.as_json:
            return self.done(dict(facts))
        width = max((len(name) for name in facts), default=0) + 2
        for name, value in facts.items():
            self.out.print(Text.assemble((f"{name.replace('_', ' '):<{width}}", "bold"), _cell(value)))

    def verdict(self, findings: Sequence[Facts], data: Facts, all_well: str) -> None:
        """The end of a command that checks: all is well, or each finding (`what`, `fix`) and exit code 1.

        A finding whose `level` is "warning" is shown and changes nothing.
        """
        failed = any(finding.get("level") != "warning" for finding in findings)
        if self.as_json:
            self._document({"success": not failed, "data": {**data, "findings": list(findings)}})
        elif not failed:
            self.out.print(Text.assemble(("✓ ", "green"), all_well))
        for finding in findings if not self.as_json else ():
            self._complain(finding["what"], finding.get("fix", ""))
        if failed:
            raise SystemExit(1)

    def say(self, sentence: str, style: str = "") -> None:
        """A sentence for people on the way; nothing with --json."""
        if not self.as_json:
            self.err.print(Text(sentence, style=style))

    # -- on the way --------------------------------------------------------------------------------------

    @contextmanager
    def progress(self, label: str, total: float | None = None) -> Iterator[Callable[[float], None]]:
        """A bar on a terminal, silence elsewhere; call what it yields with how far the work is by now."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        quiet = self.as_json or not self.err.is_terminal
        with Progress(*columns, console=self.err, transient=True, disable=quiet) as bar:
            task = bar.add_task(label, total=total)
            yield lambda completed: bar.update(task, completed=completed)

    def confirm(self, question: str, yes: bool) -> None:
        """Ask before something risky; `yes` is the command's --yes.

        Raises:
            Complaint: the answer is no, or nobody is there to answer.
        """
        if yes:
            return
        if self.as_json or not sys.stdin.isatty():
            raise Complaint(question, "say --yes if you mean it, or --dry-run to look first", code="NOT_CONFIRMED")
        if not click.confirm(question, err=True):
            raise Complaint("nothing was changed", code="NOT_CONFIRMED")

    def fail(self, complaint: Complaint) -> NoReturn:
        """Say what is wrong with its fix, and leave with exit code 1."""
        if self.as_json:
            error = {"code": complaint.code, "message": complaint.message, "fix": complaint.fix}
            self._document({"success": False, "error": {**error, "details": complaint.details}})
        else:
            self._complain(complaint.message, complaint.fix)
        raise SystemExit(1)

    def _complain(self, message: str, fix: str) -> None:
        self.err.print(Text.assemble(("✗ ", "red"), message))
        if fix:
            self.err.print(Text.assemble(("  fix: ", "dim"), fix))

    def _document(self, document: Facts) -> None:
        text = orjson.dumps(document, default=_plain, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)
        sys.stdout.write(text.decode() + "\n")
        sys.stdout.flush()


def _console(file: TextIO) -> Console:
    """Folded to the width of a terminal; a pipe gets each line whole."""
    return Console(file=file, highlight=False, soft_wrap=True, width=None if file.isatty() else WIDE)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, set | frozenset):
        return sorted(value)
    return list(value) if isinstance(value, tuple) else str(value)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(str(item) for item in value) or "–"
    return str(value)
