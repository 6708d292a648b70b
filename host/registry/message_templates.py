"""Message templates of plugins: read their `template.toml`, and check their folders at the start."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, JsonValue, ValidationError

from host.contracts import MessageTemplate
from host.input_errors import configuration_messages
from host.registry.checks import Scope

_NAME = re.compile(r"[a-z][a-z0-9_]{0,29}")
CATEGORY = r"^([a-z0-9][a-z0-9_.-]{0,62})?$"
"""What readers may unsubscribe from; empty where nothing is said."""

_FILES = ("*.mjml", "*.html")


class Variable(BaseModel, extra="forbid"):
    """A variable of a template; optional: the text can be made without it."""

    summary: str = ""
    example: JsonValue = None
    optional: bool = False


class Description(BaseModel, extra="forbid"):
    """What `template.toml` says. subject: by locale. category: empty for what nobody can unsubscribe from."""

    summary: str = Field(min_length=1)
    subject: Mapping[str, str] = Field(min_length=1)
    variables: Mapping[str, Variable] = {}
    category: str = Field(default="", pattern=CATEGORY)

    def wrong(self, names: Mapping[str, object]) -> str:
        """Which variables are missing or unknown, as a sentence's end; empty when they fit."""
        required = {name for name, variable in self.variables.items() if not variable.optional}
        groups = (("missing", required - set(names)), ("unknown", set(names) - set(self.variables)))
        return "; ".join(f"{label}: {', '.join(sorted(group))}" for label, group in groups if group)


@lru_cache(maxsize=1024)
def described(folder: Path) -> Description:
    """The description in a template's folder, read once.

    Raises:
        OSError, ValueError: it cannot be read, or does not fit.
    """
    return Description.model_validate(_read(folder))


def complaints(items: Sequence[MessageTemplate], scope: Scope) -> Iterator[str]:
    """What is wrong with the folders that a plugin declares."""
    for item in items:
        where = f'message template "{item.name}"'
        if not _NAME.fullmatch(item.name):
            yield f"{where}: its folder must be named by 1 to 30 lower-case letters, digits and _; rename {item.folder}"
        elif not item.folder.is_dir():
            yield f"{where}: {item.folder} is not a folder; make it, with template.toml and en.mjml"
        else:
            yield from (f"{where}: {item.folder / file}: {line}" for file, line in _folder(item.folder))


def _folder(folder: Path) -> Iterator[tuple[str, str]]:
    """File -> what is wrong with it."""
    content: dict[str, Any] = {}
    try:
        content = _read(folder)
        description = Description.model_validate(content)
    except ValidationError as error:
        for path, message in configuration_messages(error, content, Description).items():
            yield "template.toml", f"{'.'.join(map(str, path))}: {message}"
        return
    except (OSError, ValueError) as error:
        yield "template.toml", f"cannot be read: {error}"
        return
    files = [file for pattern in _FILES for file in sorted(folder.glob(pattern))]
    if not files:
        yield "en.mjml", "there is no content; write <locale>.mjml or <locale>.html"
    for file in (*files, *sorted(folder.glob("*.txt"))):
        try:
            file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            yield file.name, f"cannot be read: {error}"
    for file in files:
        if not description.subject.get(file.stem, "").strip():
            yield "template.toml", f'there is no subject for {file.name}; add {file.stem} = "…" to [subject]'


def _read(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "template.toml").read_text("utf-8"))
