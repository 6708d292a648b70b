from __future__ import annotations

import sys
from pathlib import Path

import pytest

from host.errors import ConfigurationError
from host.registry.discovery import available, find, package_folder, read


def installed(tree, distribution: str, plugin_id: str, package: str) -> None:
    """Write a third-party plugin as an installer leaves it: a package and its dist-info."""
    info = tree.root / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[tenantry.plugins]\n{plugin_id} = {package}\n")
    home = tree.root / package
    home.mkdir()
    (home / "__init__.py").write_text("raise AssertionError('imported')")
    (home / "manifest.toml").write_text(f'id = "{plugin_id}"\nname = "X"\nversion = "1"\nsummary = "x"\nsdk = "*"\n')


def refusal(tree) -> str:
    with pytest.raises(ConfigurationError) as caught:
        find(read(tree.plugins_toml), tree.plugins_toml, tree.package)
    assert str(tree.root) in str(caught.value)
    return str(caught.value)


def test_read_when_tables_are_right_then_keeps_order_and_values(tree):
    tree.want('[beta]\ndefault = "always"\n[alpha]\npackage = "x-y"\n[alpha.settings]\nsize = 3')
    beta, alpha = read(tree.plugins_toml)
    assert (beta.id, beta.default, alpha.id, alpha.default, alpha.package) == ("beta", "always", "alpha", "off", "x-y")
    assert alpha.settings == {"size": 3}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('[notes]\ndefalt = "on"', 'notes.defalt: there is no such key; did you mean "default"?'),
        ('[notes]\ndefault = "allways"', "notes.default: must be 'on', 'off' or 'always', not \"allways\""),
        ("[notes]\ndefault = true", "notes.default: must be 'on', 'off' or 'always', not true"),
        ("[notes]\npackage = 3", "notes.package: must be text, not 3"),
        ("[notes]\nsettings = 3", "notes.settings: must be a table, not 3"),
        ("notes = 3", "notes: must be a table, not 3"),
        ("[operator]", 'operator: "operator" is reserved'),
        ("[notes", "is not TOML"),
    ],
)
def test_read_when_something_is_wrong_then_names_file_key_and_remedy(tree, lines, said):
    tree.want(lines)
    with pytest.raises(ConfigurationError) as caught:
        read(tree.plugins_toml)
    assert said in str(caught.value)
    assert str(tree.plugins_toml) in str(caught.value)


def test_find_when_plugin_is_in_the_tree_then_bundled(tree):
    tree.add("notes")
    (found,) = find(read(tree.plugins_toml), tree.plugins_toml, tree.package)
    assert (found.package, found.source, found.manifest.id) == (f"{tree.package}.notes", "bundled", "notes")


def test_find_when_id_is_misspelt_then_names_the_nearest(tree):
    tree.add("notes", wanted=False)
    tree.want("[nots]")
    assert (
        'no plugin of this id is bundled or installed; install it or remove the table; did you mean "notes"?'
        in refusal(tree)
    )


def test_find_when_plugin_is_installed_then_uses_entry_point_and_imports_nothing(tree):
    installed(tree, "acme-weather", "weather", "acme_weather_pkg")
    tree.want('[weather]\ndefault = "on"\npackage = "Acme_Weather"')
    (found,) = find(read(tree.plugins_toml), tree.plugins_toml, tree.package)
    assert (found.package, found.source) == ("acme_weather_pkg", "acme-weather")
    assert "acme_weather_pkg" not in sys.modules
    assert "weather" in available(tree.package)


def test_find_when_two_distributions_provide_an_id_then_asks_which(tree):
    installed(tree, "acme-weather", "weather", "acme_weather_pkg")
    installed(tree, "other-weather", "weather", "other_weather_pkg")
    tree.want("[weather]")
    text = refusal(tree)
    assert "acme-weather, other-weather" in text
    assert 'package = "acme-weather"' in text


def test_find_when_named_distribution_is_absent_then_names_the_nearest(tree):
    installed(tree, "acme-weather", "weather", "acme_weather_pkg")
    tree.want('[weather]\npackage = "acme-wether"')
    assert (
        'no installed distribution "acme-wether" provides a plugin "weather"; install it; did you mean "acme-weather"?'
        in refusal(tree)
    )


def test_find_when_manifest_is_not_shipped_or_has_another_id_then_says_so(tree):
    installed(tree, "acme-weather", "weather", "acme_weather_pkg")
    tree.want("[weather]")
    manifest = tree.root / "acme_weather_pkg" / "manifest.toml"
    manifest.write_text(manifest.read_text().replace('"weather"', '"climate"'))
    assert 'says id = "climate"; rename the table to [climate]' in refusal(tree)
    manifest.unlink()
    assert "has no manifest.toml" in refusal(tree)


def test_package_folder_when_package_is_dotted_then_found_without_importing_it(tree):
    inner = tree.root / "outer_pkg" / "inner"
    inner.mkdir(parents=True)
    (tree.root / "outer_pkg" / "__init__.py").write_text("raise AssertionError('imported')")
    assert package_folder("outer_pkg.inner") == inner
    assert package_folder("outer_pkg.other") is None
    assert package_folder("no_such_package_anywhere") is None
    assert package_folder("plugins") == Path(__file__).parents[2] / "plugins"
