"""`/tenant/plugins` endpoints: list plugins, switch them on or off, and read and write their settings."""

from __future__ import annotations

from typing import Any, cast

from pydantic import BaseModel, ConfigDict, RootModel, ValidationError

from host.contracts import Row
from host.errors import Conflict, NotFound, ValidationFailed
from host.input_errors import validation_messages
from host.provisioning import provisioning
from host.secret_settings import encrypted, unmasked
from host.services import plain_settings, services, tenant_snapshot, unit_of_work
from host.web.routes import Routes
from tenants.context import current
from tenants.models import Activation
from tenants.snapshots import TenantSnapshot

routes = Routes()


class Switch(BaseModel):
    """Whether the plugin is on; `cascade` also switches off the plugins that require it."""

    model_config = ConfigDict(extra="forbid")
    enabled: bool
    cascade: bool = False


class PluginSettings(RootModel[dict[str, Any]]):
    """Settings by name; the plugin's own model checks them."""


def _rows(tenant: TenantSnapshot) -> list[Row]:
    registry = provisioning().registry
    rows = []
    for plugin in registry.plugins:
        decision = registry.feature_gate.decide(tenant, plugin.id)
        rows.append(
            {
                "id": plugin.id,
                "name": plugin.manifest.name,
                "version": str(plugin.manifest.version),
                "summary": plugin.manifest.summary,
                "enabled": plugin.id in registry.feature_gate.switched_on(tenant),
                "effective": decision.allowed,
                "why": decision.reason,
                "requires": list(plugin.requires),
                "required_by": list(plugin.required_by),
            }
        )
    return rows


@routes.get("/tenant/plugins", name="plugins.list", permission="tenant.plugins.read")
async def list_plugins() -> list[Row]:
    """Every plugin of this deployment, whether it is on here, whether it works, and why."""
    return _rows(await tenant_snapshot())


@routes.put("/tenant/plugins/<plugin_id>", name="plugins.update", permission="tenant.plugins.update")
async def switch_plugin(plugin_id: str, body: Switch) -> Row:
    """Switch a feature on or off; its data is kept while it is off."""
    await provisioning().switching.switch(plugin_id, body.enabled, cascade=body.cascade)
    # Read anew, as the request's own snapshot is from before the switch.
    tenant = await services().snapshots.tenant(current(), None)
    return next(row for row in _rows(cast(TenantSnapshot, tenant)) if row["id"] == plugin_id)


@routes.get("/tenant/plugins/<plugin_id>/settings", name="plugins.settings.read", permission="tenant.plugins.read")
async def read_settings(plugin_id: str) -> Row:
    """A feature's settings in this organisation, with defaults filled in and secrets masked."""
    model, plain = _model(plugin_id), await _plain(plugin_id)
    if plain is None:
        raise Conflict(
            "A secret among these settings cannot be decrypted any more; send all settings of this feature again."
        )
    return model.model_validate(plain).model_dump(mode="json")


@routes.put("/tenant/plugins/<plugin_id>/settings", name="plugins.settings.update", permission="tenant.plugins.update")
async def write_settings(plugin_id: str, body: PluginSettings) -> Row:
    """Set a feature up.

    Replace a feature's settings in this organisation; a secret sent as it is shown (`**********`) stays as it is.
    """
    model, tenant_id = _model(plugin_id), current()
    try:
        checked = model.model_validate(unmasked(body.root, model, await _plain(plugin_id) or {}))
    except ValidationError as error:
        raise ValidationFailed(details=validation_messages(error, body.root, "settings")) from None
    async with unit_of_work() as work:
        row, _ = await Activation.get_or_create(plugin=plugin_id)
        before, after = _changed(row.settings, checked, plugin_id)
        row.settings = encrypted(checked, lambda text: services().encryption.encrypt(text, tenant_id, plugin_id))
        row.version += 1
        await row.save(update_fields=["settings", "version", "updated_at"])
        if after:
            work.record("tenant.plugins.configure", "plugin", plugin_id, before=before, after=after)
        work.touch(tenant=current())
    return checked.model_dump(mode="json")


def _changed(stored: dict[str, Any], after: BaseModel, plugin_id: str) -> tuple[Row, Row]:
    """The settings whose value changes, before and after, as they are shown: with secrets masked."""
    shown = after.model_dump(mode="json")
    try:
        before = type(after).model_validate(plain_settings(stored, plugin_id))
    except ValueError:  # of an older version of the plugin, or encrypted with another deployment key
        return {}, shown
    old, new, was = before.model_dump(), after.model_dump(), before.model_dump(mode="json")
    names = [name for name in shown if old.get(name) != new[name]]
    return {name: was.get(name) for name in names}, {name: shown[name] for name in names}


async def _plain(plugin_id: str) -> dict[str, Any] | None:
    """The current settings with secrets decrypted; None if they were encrypted with another deployment key."""
    try:
        return plain_settings((await tenant_snapshot()).plugin_settings.get(plugin_id, {}), plugin_id)
    except ValueError:
        return None


def _model(plugin_id: str) -> type[BaseModel]:
    model = services().tenant_settings.get(plugin_id)
    if provisioning().registry.plugin(plugin_id) is None or model is None:
        raise NotFound(f"There is no plugin {plugin_id!r} here that an organisation can set up.")
    return model
