from __future__ import annotations

import pytest

from host.errors import ConfigurationError
from host.registry.deployment import disable, enable
from host.registry.discovery import read


def test_enable_when_plugin_is_bundled_then_named_and_comments_stay(tree):
    tree.add("notes", "raise AssertionError('imported')")
    tree.add("tags", wanted=False)
    tree.plugins_toml.write_text('# Our plugins.\n\n[notes]  # first\ndefault = "always"\n[notes.settings]\nsize = 3\n')
    enable(tree.plugins_toml, "tags", bundled=tree.package)
    text = tree.plugins_toml.read_text()
    assert text.startswith('# Our plugins.\n\n[notes]  # first\ndefault = "always"\n')
    assert text.endswith('\n\n[tags]\ndefault = "on"\n')
    assert [(one.id, one.default) for one in read(tree.plugins_toml)] == [("notes", "always"), ("tags", "on")]
    assert not tree.imported("notes")


def test_enable_when_already_named_then_default_changes_only_if_said(tree):
    tree.add("notes", default="always")
    enable(tree.plugins_toml, "notes", bundled=tree.package)
    assert read(tree.plugins_toml)[0].default == "always"
    enable(tree.plugins_toml, "notes", default="off", bundled=tree.package)
    assert read(tree.plugins_toml)[0].default == "off"


def test_enable_when_file_is_missing_then_made(tree):
    tree.add("notes", wanted=False)
    tree.plugins_toml.unlink()
    enable(tree.plugins_toml, "notes", bundled=tree.package)
    assert tree.plugins_toml.read_text() == '[notes]\ndefault = "on"\n'


def test_enable_when_dry_run_then_shows_and_leaves_the_file(tree):
    tree.add("notes", wanted=False)
    assert "[notes]" in enable(tree.plugins_toml, "notes", bundled=tree.package, dry_run=True)
    assert tree.plugins_toml.read_text() == ""


def test_enable_when_plugin_is_unknown_or_lacks_its_requirement_then_refused_and_file_untouched(tree):
    tree.add("notes", wanted=False)
    tree.add("tags", wanted=False, requires={"notes": "*"})
    with pytest.raises(ConfigurationError, match='did you mean "notes"'):
        enable(tree.plugins_toml, "nots", bundled=tree.package)
    with pytest.raises(ConfigurationError, match=r'requires "notes", which plugins\.toml does not name'):
        enable(tree.plugins_toml, "tags", bundled=tree.package)
    assert tree.plugins_toml.read_text() == ""


def test_disable_when_named_then_taken_out_with_its_settings_and_the_rest_stays(tree):
    tree.add("notes")
    tree.want("[notes.settings]\nsize = 3")
    tree.add("tags")
    mode = tree.plugins_toml.stat().st_mode
    disable(tree.plugins_toml, "notes", bundled=tree.package)
    assert [one.id for one in read(tree.plugins_toml)] == ["tags"]
    assert tree.plugins_toml.stat().st_mode == mode
    assert [path.name for path in tree.root.glob(".plugins*")] == []


def test_disable_when_another_requires_it_or_it_is_not_named_then_refused(tree):
    tree.add("notes")
    tree.add("tags", requires={"notes": "*"})
    with pytest.raises(ConfigurationError, match=r"\[notes\] is required by tags; disable them first"):
        disable(tree.plugins_toml, "notes", bundled=tree.package)
    with pytest.raises(ConfigurationError, match='did you mean "tags"'):
        disable(tree.plugins_toml, "tag", bundled=tree.package)
