"""Sources, settings and the README use the field's terms; the metaphors of an earlier vocabulary stay out."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
RETIRED = re.compile(
    r"\b(houses?|rooms?|walls?|walled|bells?|couriers?|ledgers?|neighbou?rs?|strangers?|errands?|residents?|knocks?"
    r"|lanes?|shelf|shelves|doors?|floors?|wires?|visits?|checkpoints?|windows?|passes)\b",
    re.IGNORECASE,
)
ALLOWED = (
    (r"plugins/audit/|config/prometheus/rules", "checkpoint"),  # the signed head of an audit chain is called so
    (
        r"(host|tenants)/.*(limits|quotas|plans?|models|use_by_time)\.py|host/data/sql_builder\.py",
        "window",
    ),  # of time; rows
    (r"plugins/mail/service/messages\.py", "window"),  # of a quota
    (r"host/web/openapi/docs_page\.py", "window"),  # the browser's
    (r"host/identity/passwords\.py", "lanes|passes"),  # argon2's parameters
    (r"plugins/mail/templates/", "visit|doors"),  # prose of mails
    (r"plugins/mail/rendering/syntax\.py|tenants/lifecycle\.py", "visit"),  # walks over a tree
    (r"host/crypto\.py", "passes"),  # a label that keys are derived with: tokens in use depend on it
    (r"plugins/mail/service/stats\.py", "floor"),  # of SQL
    (r"plugins/mail/providers/ses\.py", "passes"),  # the verb
)


def is_allowed(path: str, word: str) -> bool:
    return any(re.match(places, path) and re.match(words, word, re.IGNORECASE) for places, words in ALLOWED)


def test_sources_when_read_then_no_word_of_the_retired_vocabulary_is_in_them() -> None:
    files = [file for folder in ("host", "tenants", "plugins", "config") for file in sorted((ROOT / folder).rglob("*"))]
    texts = [file for file in (*files, ROOT / "README.md") if file.suffix in {".py", ".toml", ".md", ".yml", ".json"}]
    retired = [
        f"{path}:{number}: {match.group()}"
        for file in texts
        for path in [file.relative_to(ROOT).as_posix()]
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        for match in RETIRED.finditer(line)
        if not is_allowed(path, match.group())
    ]
    assert retired == [], "use the field's word, or add the place and the reason to ALLOWED"
