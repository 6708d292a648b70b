from __future__ import annotations

import pytest

from host.registry.kinds import MESSAGE_TEMPLATES

DECLARE = """
from pathlib import Path
@hookimpl
def register_message_templates():
    return [MessageTemplate(Path(__file__).parent / "templates" / name) for name in {names}]
"""
GOOD = 'summary = "x"\n[subject]\nen = "Hi"\n[variables.name]\nexample = "Ada"\n'


def template(tree, text: str | None = GOOD, *, name: str = "reminder", file: str = "en.mjml", names=None) -> None:
    home = tree.add("notes", DECLARE.format(names=names or [name]))
    if text is not None:
        folder = home / "templates" / name
        folder.mkdir(parents=True)
        (folder / "template.toml").write_text(text)
        (folder / file).write_text("<mj-text>Hi</mj-text>")


def test_templates_when_declared_then_known_by_the_plugins_id_and_the_folders_name(tree):
    template(tree)
    assert list(tree.load(strict=True).catalog.named(MESSAGE_TEMPLATES)) == ["notes.reminder"]


def test_templates_when_folder_is_missing_then_start_is_refused_with_plugin_folder_and_remedy(tree):
    template(tree, None)
    text = tree.refusal()
    assert 'plugin "notes": message template "reminder"' in text
    assert "templates/reminder is not a folder; make it, with template.toml and en.mjml" in text


@pytest.mark.parametrize(
    ("text", "file", "said"),
    [
        ("summary = ", "en.mjml", "template.toml: cannot be read"),
        (GOOD.replace("summary", "sumary"), "en.mjml", 'did you mean "summary"?'),
        (GOOD.replace('en = "Hi"', ""), "en.mjml", "subject"),
        (GOOD, "de.mjml", 'there is no subject for de.mjml; add de = "…" to [subject]'),
        (GOOD, "en.txt", "there is no content; write <locale>.mjml or <locale>.html"),
        (GOOD.replace("[subject]", 'category = "No Slug"\n[subject]'), "en.mjml", "category"),
        (GOOD.replace("example", "exmple"), "en.mjml", "variables.name.exmple"),
    ],
)
def test_templates_when_a_folder_is_wrong_then_start_is_refused_with_the_file(tree, text, file, said):
    template(tree, text, file=file)
    refusal = tree.refusal()
    assert 'plugin "notes": message template "reminder"' in refusal
    assert said in refusal


def test_templates_when_a_folder_is_named_badly_then_start_is_refused(tree):
    template(tree, name="Re-minder")
    assert "its folder must be named by 1 to 30 lower-case letters, digits and _" in tree.refusal()


def test_templates_when_declared_twice_then_start_is_refused(tree):
    template(tree, names=["reminder", "reminder"])
    assert 'plugin "notes" declares the message template "notes.reminder" twice' in tree.refusal()
