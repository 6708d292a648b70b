from __future__ import annotations

from pathlib import Path

import pytest

from host.errors import ConfigurationError
from host.registry.manifest import Manifest
from host.registry.ordering import order


def manifest(
    plugin_id: str, *, version: str = "1.0", sdk: str = "", wants: tuple[str, ...] = (), **requires: str
) -> Manifest:
    ranges = {name: text or "*" for name, text in requires.items()}
    path = Path(f"/{plugin_id}/manifest.toml")
    return Manifest(plugin_id, plugin_id, version, "x", sdk or "*", path, ranges, wants)


def ids(*manifests: Manifest) -> list[str]:
    return [one.id for one in order(manifests)]


def refusal(*manifests: Manifest, sdk: str = "0.1.0") -> str:
    with pytest.raises(ConfigurationError) as caught:
        order(manifests, sdk=sdk)
    return str(caught.value)


def test_order_when_nothing_is_required_then_stays_as_given():
    assert ids(manifest("cc"), manifest("aa"), manifest("bb")) == ["cc", "aa", "bb"]


def test_order_when_something_is_required_then_it_comes_first_and_the_rest_stays():
    assert ids(manifest("aa", cc=""), manifest("bb"), manifest("cc", dd=""), manifest("dd")) == ["dd", "cc", "aa", "bb"]


def test_order_when_requirement_is_missing_then_names_both_and_the_nearest():
    text = refusal(manifest("notes", projcts=""), manifest("projects"))
    assert '/notes/manifest.toml: requires.projcts: plugin "notes" requires "projcts"' in text
    assert 'did you mean "projects"?' in text


def test_order_when_required_version_does_not_fit_then_names_both_and_versions():
    text = refusal(manifest("notes", projects=">=2"), manifest("projects", version="1.5"))
    assert 'plugin "notes" requires "projects" >=2, but it is 1.5 (/projects/manifest.toml)' in text


def test_order_when_required_version_is_a_prerelease_then_it_counts():
    assert ids(manifest("aa", bb=">=1.0b1"), manifest("bb", version="1.0b2")) == ["bb", "aa"]


def test_order_when_plugins_require_each_other_then_names_the_circle_once():
    text = refusal(manifest("aa", bb=""), manifest("bb", cc=""), manifest("cc", aa=""), manifest("dd", aa=""))
    assert "aa -> bb -> cc -> aa" in text
    assert text.count("circle") == 1


def test_order_when_sdk_is_out_of_range_then_names_plugin_and_both_versions():
    text = refusal(manifest("aa", sdk=">=2"), manifest("bb", sdk=">=0.1"), sdk="0.1.0")
    assert text == (
        '/aa/manifest.toml: sdk: plugin "aa" is made for host.sdk >=2, this is 0.1.0; '
        "install a version of the plugin made for it"
    )


def test_order_when_something_loaded_is_wanted_then_it_comes_first_and_nothing_else_moves():
    assert ids(manifest("aa", wants=("cc",)), manifest("bb"), manifest("cc")) == ["cc", "aa", "bb"]


def test_order_when_something_wanted_is_not_loaded_then_it_is_done_without():
    assert ids(manifest("aa", wants=("zz",)), manifest("bb")) == ["aa", "bb"]


def test_order_when_wishes_make_a_circle_then_what_is_required_wins_and_nothing_is_refused():
    assert ids(manifest("aa", wants=("bb",)), manifest("bb", aa="")) == ["aa", "bb"]
    assert ids(manifest("aa", wants=("bb",)), manifest("bb", cc=""), manifest("cc", aa="")) == ["aa", "cc", "bb"]
    assert ids(manifest("aa", wants=("bb",)), manifest("bb", wants=("aa",))) == ["bb", "aa"]
