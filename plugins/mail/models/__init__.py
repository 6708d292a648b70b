"""Tables of the mail plugin: messages, batches, senders, templates, suppressions, subscriptions."""

from __future__ import annotations

from .messages import FINAL, OPEN, WAITING, Attachment, Batch, BatchSlice, BatchStatus, Happening, Message, Status
from .senders import ProviderAccount, Sender
from .subscriptions import Subscription
from .suppressions import Suppression
from .templates import Template, TemplateVersion

MODELS = (
    Message,
    Happening,
    Batch,
    BatchSlice,
    Attachment,
    Sender,
    ProviderAccount,
    Template,
    TemplateVersion,
    Suppression,
    Subscription,
)

__all__ = [
    "FINAL",
    "MODELS",
    "OPEN",
    "WAITING",
    "Attachment",
    "Batch",
    "BatchSlice",
    "BatchStatus",
    "Happening",
    "Message",
    "ProviderAccount",
    "Sender",
    "Status",
    "Subscription",
    "Suppression",
    "Template",
    "TemplateVersion",
]
