"""Sort plugins so that each loads after those it requires or wants; report missing, unfit, circular requirements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from host.errors import refuse
from host.input_errors import nearest
from host.registry.manifest import SDK_VERSION, Manifest


def order(manifests: Sequence[Manifest], *, sdk: str = SDK_VERSION) -> tuple[Manifest, ...]:
    """The manifests in load order; stable. A wish that would make a circle is passed over.

    Raises:
        ConfigurationError: lists every missing or too old or new requirement, every cycle, and every plugin made for
            another SDK, each naming the plugins and the remedy.
    """
    by_id = {manifest.id: manifest for manifest in manifests}
    messages = [line for manifest in manifests for line in _needs(manifest, by_id, sdk)]
    messages += _cycles(by_id)
    refuse(messages)
    before = _before(by_id)
    ordered: dict[str, Manifest] = {}
    for manifest in manifests:
        _place(manifest, by_id, before, ordered)
    return tuple(ordered.values())


def _before(by_id: Mapping[str, Manifest]) -> dict[str, list[str]]:
    """Plugin id -> the plugins that load before it: all that it requires, and of those it wants what can be."""
    before = {manifest.id: list(manifest.requires) for manifest in by_id.values()}

    def reaches(plugin_id: str, wanted: str) -> bool:
        return plugin_id == wanted or any(reaches(other, wanted) for other in before[plugin_id])

    for manifest in by_id.values():
        for wanted in manifest.wants:
            if wanted in by_id and not reaches(wanted, manifest.id):
                before[manifest.id].append(wanted)
    return before


def _needs(manifest: Manifest, by_id: Mapping[str, Manifest], sdk: str) -> list[str]:
    messages = []
    if not manifest.sdk.contains(sdk, prereleases=True):
        messages.append(
            f'{manifest.path}: sdk: plugin "{manifest.id}" is made for host.sdk {manifest.sdk}, this is {sdk}; '
            "install a version of the plugin made for it"
        )
    for plugin_id, versions in manifest.requires.items():
        where = f"{manifest.path}: requires.{plugin_id}"
        other = by_id.get(plugin_id)
        if other is None:
            messages.append(
                f'{where}: plugin "{manifest.id}" requires "{plugin_id}", which plugins.toml does not name; '
                f"add [{plugin_id}] or remove [{manifest.id}]{nearest(plugin_id, set(by_id) - {manifest.id})}"
            )
        elif not versions.contains(other.version, prereleases=True):
            messages.append(
                f'{where}: plugin "{manifest.id}" requires "{plugin_id}" {versions}, but it is {other.version} '
                f"({other.path}); install versions that fit"
            )
    return messages


def _cycles(by_id: Mapping[str, Manifest]) -> list[str]:
    """One complaint per cycle, naming every plugin on it."""
    messages = []
    done: set[str] = set()

    def walk(plugin_id: str, trail: tuple[str, ...]) -> None:
        if plugin_id in trail:
            cycle = (*trail[trail.index(plugin_id) :], plugin_id)
            messages.append(
                f"{by_id[plugin_id].path}: requires: plugins require each other in a circle: {' -> '.join(cycle)}; "
                "remove one of these requirements and use an event instead"
            )
            return
        if plugin_id in done:
            return
        for required in by_id[plugin_id].requires:
            if required in by_id:
                walk(required, (*trail, plugin_id))
        done.add(plugin_id)

    for plugin_id in by_id:
        walk(plugin_id, ())
    return messages


def _place(
    manifest: Manifest,
    by_id: Mapping[str, Manifest],
    before: Mapping[str, Sequence[str]],
    ordered: dict[str, Manifest],
) -> None:
    for earlier in before[manifest.id]:
        if earlier not in ordered:
            _place(by_id[earlier], by_id, before, ordered)
    ordered.setdefault(manifest.id, manifest)
