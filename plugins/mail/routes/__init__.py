"""HTTP endpoints and permissions of the mail plugin."""

from __future__ import annotations

from host.sdk import Permission, Route

from . import attachments, batches, messages, senders, stats, subscriptions, suppressions, templates, tracking, webhooks

_MODULES = (messages, batches, attachments, senders, templates, suppressions, subscriptions, webhooks, tracking, stats)

ROUTES: tuple[Route, ...] = tuple(route for module in _MODULES for route in module.routes)
PERMISSIONS: tuple[Permission, ...] = tuple(each for module in _MODULES for each in module.PERMISSIONS)
