"""What each organisation may set for its projects."""

from __future__ import annotations

from pydantic import BaseModel, Field


class TenantSettings(BaseModel, extra="forbid"):
    announce_overdue: bool = Field(
        default=True, description="Whether others are told, once per due date, that an open task is overdue."
    )
