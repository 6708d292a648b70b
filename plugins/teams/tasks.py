"""End memberships whose time has come."""

from __future__ import annotations

from datetime import timedelta

from host.sdk import Task

from .people import expire

TASKS = (Task("expire", expire, "End memberships in teams whose time has come", every=timedelta(minutes=5)),)
