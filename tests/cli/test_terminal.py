"""What a command says, to people and to machines."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest

from host.cli.terminal import Complaint, Terminal


def test_rows_when_json_is_asked_then_are_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal(as_json=True).rows([{"id": UUID(int=1), "at": datetime(2026, 1, 2, tzinfo=UTC)}], ["id"], empty="none")
    document = json.loads(capsys.readouterr().out)
    assert document == {
        "success": True,
        "data": [{"id": "00000000-0000-0000-0000-000000000001", "at": "2026-01-02T00:00:00+00:00"}],
    }


def test_rows_when_for_people_then_are_a_table_that_a_pipe_gets_whole(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"name": "x" * 200, "on": True, "needs": ["a", "b"], "never": None, "hidden": "y"}
    Terminal().rows([row], ["name", "on", "needs", "never"], empty="none")
    out = capsys.readouterr().out
    assert "x" * 200 in out
    assert "yes" in out
    assert "a, b" in out
    assert "–" in out
    assert "y\n" not in out


def test_rows_when_there_are_none_then_a_sentence_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().rows([], ["id"], empty="No tenants.")
    assert capsys.readouterr().out == "No tenants.\n"


def test_text_when_it_looks_like_markup_then_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().done(None, "see [projects] in plugins.toml")
    Terminal().rows([{"name": "[bold]x[/bold]"}], ["name"], empty="")
    out = capsys.readouterr().out
    assert "[projects]" in out
    assert "[bold]x[/bold]" in out


@pytest.mark.parametrize("as_json", [True, False])
def test_verdict_when_there_are_findings_then_the_exit_code_says_so(
    as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        Terminal(as_json).verdict([{"what": "the roof leaks", "fix": "mend it"}], {"rooms": 3}, "all well")
    assert left.value.code == 1
    written = capsys.readouterr()
    if as_json:
        finding = {"what": "the roof leaks", "fix": "mend it"}
        assert json.loads(written.out) == {"success": False, "data": {"rooms": 3, "findings": [finding]}}
    else:
        assert "✗ the roof leaks" in written.err
        assert "fix: mend it" in written.err


def test_verdict_when_there_is_nothing_to_say_then_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().verdict([], {}, "Row-level security stand.")
    assert "Row-level security stand." in capsys.readouterr().out


def test_confirm_when_nobody_can_answer_then_refuses_with_the_way_out() -> None:
    with pytest.raises(Complaint) as refused:
        Terminal(as_json=True).confirm("Delete it?", yes=False)
    assert "--yes" in refused.value.fix
    Terminal(as_json=True).confirm("Delete it?", yes=True)


def test_failure_when_json_is_asked_then_is_a_document_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        Terminal(as_json=True).fail(Complaint("no such tenant", "see the list", code="NOT_FOUND"))
    error = json.loads(capsys.readouterr().out)["error"]
    assert error == {"code": "NOT_FOUND", "message": "no such tenant", "fix": "see the list", "details": {}}


def test_progress_when_there_is_no_terminal_then_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal().progress("working", 2) as advance:
        advance(1)
    written = capsys.readouterr()
    assert written.out + written.err == ""
