from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from host.errors import ConfigurationError
from host.registry.manifest import RESERVED_IDS, SDK_VERSION, Manifest, plugin_id
from host.settings.files import read_file

ROOT = Path(__file__).parents[2]
GOOD = """
id = "notes"
name = "Notes"
version = "1.2.0"
summary = "Keeps notes."
sdk = ">=0.1,<1"
wants = ["mail"]
[requires]
projects = ">=0.1"
audit = "*"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "manifest.toml"
    path.write_text(text)
    return path


def read(path: Path) -> Manifest:
    return read_file(path, Manifest)


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(written(folder, text))
    assert str(folder / "manifest.toml") in str(caught.value)
    return str(caught.value)


def test_parse_when_manifest_is_complete_then_gives_typed_values(tmp_path):
    manifest = read(written(tmp_path, GOOD))
    assert (manifest.id, str(manifest.version)) == ("notes", "1.2.0")
    assert manifest.requires["projects"].contains("0.5")
    assert manifest.requires["audit"].contains("99")
    assert manifest.wants == ("mail",)
    assert not manifest.sdk.contains("1.0")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            'summary = "Keeps notes."',
            'sumary = "Keeps notes."',
            'sumary: there is no such key; did you mean "summary"?',
        ),
        ('summary = "Keeps notes."', "", 'summary: is missing; add summary = "…"'),
        ('name = "Notes"', "name = 3", "name: must be text, not 3"),
        ('"1.2.0"', '"one"', "version: 'one' is not a version; write it"),
        ('sdk = ">=0.1,<1"', 'sdk = "new"', "sdk: 'new' is not a range of versions; write it"),
        ('sdk = ">=0.1,<1"', "", 'sdk: is missing; add sdk = ">=0.1,<1"'),
        ('projects = ">=0.1"', 'projects = "^1"', "requires.projects: '^1' is not a range"),
        ('projects = ">=0.1"', 'notes = "*"', 'requires: "notes" is the plugin itself'),
        ('wants = ["mail"]', 'wants = ["notes"]', 'wants: "notes" is the plugin itself'),
        ('wants = ["mail"]', 'wants = ["host"]', 'wants.0: "host" is reserved for the host'),
        ('wants = ["mail"]', 'wants = "mail"', "wants: must be a list"),
        ('id = "notes"', 'id = "Notes"', 'id: "Notes" is not a plugin id'),
        ('id = "notes"', 'id = "a__b"', 'id: "a__b" is not a plugin id'),
        ('id = "notes"', 'id = "tenant"', 'id: "tenant" is reserved for the host'),
        ('id = "notes"', 'id = "notes', "is not TOML"),
    ],
)
def test_parse_when_one_thing_is_wrong_then_names_file_key_and_remedy(tmp_path, old, new, said):
    assert said in refusal(tmp_path, GOOD.replace(old, new))


def test_parse_when_several_things_are_wrong_then_lists_them_all(tmp_path):
    text = refusal(tmp_path, 'id = "x"\nversion = "?"\n')
    assert all(key in text for key in ("id:", "name:", "version:", "summary:", "sdk:"))


def test_parse_when_file_is_missing_or_binary_then_says_so(tmp_path):
    with pytest.raises(ConfigurationError, match="there is no such file"):
        read(tmp_path / "none.toml")
    (tmp_path / "manifest.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="is not UTF-8"):
        read(tmp_path / "manifest.toml")


@pytest.mark.parametrize("text", ["mail", "a1", "to_do2", "x" * 31])
def test_id_when_well_formed_then_taken_as_it_is(text):
    assert plugin_id(text) == text


@pytest.mark.parametrize("text", ["a", "x" * 32, "a_", "_a", "a-b", "1a", "ä1", "a\n", "notes-two", "notes\n"])
def test_id_when_ill_formed_then_refused(text):
    with pytest.raises(ValueError, match="is not a plugin id"):
        plugin_id(text)


def test_reserved_ids_when_settings_have_sections_then_hold_each_of_them():
    sections = tomllib.loads((ROOT / "config/settings.toml").read_text())
    assert set(sections) <= RESERVED_IDS, "TENANTRY_<ID>__<KEY> of a plugin would be read as a host setting"


def test_sdk_version_when_released_then_equals_the_distributions():
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == SDK_VERSION
