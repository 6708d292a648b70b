"""Render the audit report as a printable HTML page without scripts or external resources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from html import escape
from typing import Any

import orjson

from host.sdk import Row, Stream, zone

_STYLE = """
body { font: 10pt/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 60em; color: #111; }
h1 { font-size: 16pt; } h2 { font-size: 12pt; margin-top: 2em; break-after: avoid; }
table { border-collapse: collapse; width: 100%; } tr { break-inside: avoid; }
th, td { text-align: left; vertical-align: top; padding: .2em .8em .2em 0; border-bottom: 1px solid #ccc; }
td.number, th.number { text-align: right; } td.values { font: 8pt monospace; overflow-wrap: anywhere; }
@page { margin: 15mm; } @media print { body { margin: 0; max-width: none; } }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
_COUNTS = {
    "by_outcome": "By outcome",
    "by_actor": "By actor",
    "by_action": "By action",
    "by_day": "By day",
}
_LISTS = {
    "access_changes": "Who may do what: members, roles, invitations, keys",
    "plugin_changes": "Features switched",
    "plan_changes": "Plan and limits",
    "refused": "Refused and failed attempts",
}


def page(report: Mapping[str, Any], tenant_name: str) -> Stream:
    """The report as `text/html`, with a content security policy that allows only its own style."""
    title = f"Audit report of {escape(tenant_name)}"
    timezone = zone(report["timezone"])
    between = f"{_moment(report['from'], timezone)} – {_moment(report['to'], timezone)}, {report['entries']} entries"
    outcomes = [{"outcome": name, "entries": count} for name, count in report["by_outcome"].items()]
    parts = [_table(heading, outcomes if name == "by_outcome" else report[name]) for name, heading in _COUNTS.items()]
    parts += [_list(heading, report[name], timezone) for name, heading in _LISTS.items()]
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"</head><body><h1>{title}</h1><p>{between}</p>{''.join(parts)}</body></html>"
    )
    return Stream(html.encode(), "text/html; charset=utf-8", headers={"Content-Security-Policy": _POLICY})


def _table(heading: str, rows: Sequence[Row]) -> str:
    names = [name for name in (rows[0] if rows else {}) if name != "actor_id"]
    lines = [_line(names, [name.replace("_", " ") for name in names], "th")]
    lines += [_line(names, [row[name] for name in names], "td") for row in rows]
    return f"<h2>{escape(heading)}</h2>" + (f"<table>{''.join(lines)}</table>" if rows else "<p>None.</p>")


def _line(names: Sequence[str], cells: Sequence[object], tag: str) -> str:
    kinds = ("number" if name == "entries" else "text" for name in names)
    tagged = (f'<{tag} class="{kind}">{escape(str(cell))}</{tag}>' for kind, cell in zip(kinds, cells, strict=True))
    return f"<tr>{''.join(tagged)}</tr>"


def _list(heading: str, rows: Sequence[Row], timezone: tzinfo) -> str:
    lines = "".join(
        f"<tr><td>{_moment(row['at'], timezone)}</td><td>{escape(_who(row))}</td>"
        f"<td>{escape(row['action'])} <em>{escape(row['outcome'])}</em></td>"
        f"<td>{escape(row['resource_type'])} {escape(row['resource_id'])}</td>"
        f'<td class="values">{escape(_values(row))}</td></tr>'
        for row in rows
    )
    return f"<h2>{escape(heading)}</h2>" + (f"<table>{lines}</table>" if rows else "<p>None.</p>")


def _who(row: Row) -> str:
    return str(row["actor_label"] or row["actor_id"] or row["actor_kind"])


def _values(row: Row) -> str:
    if row["reason"]:
        return str(row["reason"])
    before, after = (orjson.dumps(row[name]).decode() if row[name] else "" for name in ("before", "after"))
    return f"{before} → {after}" if before and after else before or after


def _moment(moment: datetime, timezone: tzinfo) -> str:
    return f"{moment.astimezone(timezone):%Y-%m-%d %H:%M:%S %Z}"
