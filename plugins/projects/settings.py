"""Tenant settings of the projects plugin."""

from __future__ import annotations

from pydantic import BaseModel, Field


class TenantSettings(BaseModel, extra="forbid"):
    announce_overdue: bool = Field(
        default=True, description="Announce overdue open tasks, once per due date (default: true)."
    )
