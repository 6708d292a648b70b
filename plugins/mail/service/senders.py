"""Manage sender addresses, each confirmed with a code mailed to it."""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
from datetime import UTC, datetime, timedelta
from hashlib import scrypt
from uuid import UUID, uuid4

from tortoise.expressions import F

from host.sdk import (
    Conflict,
    GiveUp,
    Limit,
    NotFound,
    Records,
    Row,
    ValidationFailed,
    actor,
    allow,
    cut_to_line,
    settings,
    tenant,
    tenant_settings,
    unit_of_work,
)

from ..addresses import Address, parse_address
from ..models.senders import Sender
from ..outgoing import MACHINE_MADE, Outgoing
from ..providers.contract import Refused
from ..settings import Settings, TenantSettings
from .hand_over import PRIORITY, hand_over

CODES = "mail.sender_codes"
LIMITS = (Limit(CODES, "rate", "Mailed codes that confirm a sender", unit="codes", default="10/hour"),)
MAIL_CODE = "mail.mail_sender_code"
CODE_LIFE = timedelta(minutes=30)
CODE_TRIES = 5

SENDERS = Records(
    Sender,
    fields=(
        "id",
        "email",
        "name",
        "confirmed_at",
        "code_expires_at",
        "code_error",
        "created_by",
        "version",
        "created_at",
        "updated_at",
    ),
    filters={"email": "address"},
    sorts=("created_at", "email"),
    search=("email", "name"),
)

_log = logging.getLogger("mail.senders")


async def sender_for(text: str | None) -> Address:
    """The sender of a message: the named one, which has to be confirmed, or the tenant's default.

    The default is the one in the tenant's settings, else the one confirmed first, else the deployment's address with
    the organisation's name.

    Raises:
        ValidationFailed: it is not a valid address, or not confirmed by this tenant.
    """
    chosen = text or (await tenant_settings(TenantSettings)).sender
    if chosen:
        return await _confirmed(chosen)
    first = await Sender.filter(confirmed_at__isnull=False).order_by("confirmed_at", "id").first()
    if first is not None:
        return Address(cut_to_line(first.name), first.email)
    application = settings(Settings).sender
    return Address(application.name or cut_to_line((await tenant()).name), application.email)


async def _confirmed(text: str) -> Address:
    try:
        address = parse_address(text)
    except ValueError as error:
        raise ValidationFailed(details={"from": str(error)}) from None
    row = await SENDERS.find(email=address.key)
    if row is None or row["confirmed_at"] is None:
        raise ValidationFailed(
            details={"from": f"{address.email} is not a confirmed sender; add it with POST /mail/senders."}
        )
    return Address(address.name or cut_to_line(row["name"]), address.email)


async def add_sender(text: str) -> Row:
    """Add a sender address, and mail a code to it.

    Raises:
        ValidationFailed: it is not a valid address.
        Conflict: it is a sender already.
        RateLimited: too many codes were mailed.
    """
    try:
        address = parse_address(text)
    except ValueError as error:
        raise ValidationFailed(details={"address": str(error)}) from None
    email = address.key
    if await SENDERS.find(email=email) is not None:
        raise Conflict(f"{email} is a sender already.", details={"email": email})
    await allow(CODES)
    async with unit_of_work() as work:
        row = await SENDERS.insert(email=email, name=address.name, created_by=actor().user_id)
        work.record("mail.senders.create", "sender", row["id"], after={"email": email, "name": address.name})
        await work.enqueue(MAIL_CODE, priority=PRIORITY, sender_id=str(row["id"]))
    return row


async def resend_code(sender_id: UUID) -> Row:
    """Mail a new code; the one before is no longer valid.

    Raises:
        NotFound: this tenant has no such sender.
        Conflict: it is already confirmed.
        RateLimited: too many codes were mailed.
    """
    row = await SENDERS.get(sender_id)
    if row["confirmed_at"] is not None:
        raise Conflict("This sender is already confirmed.")
    await allow(CODES)
    async with unit_of_work() as work:
        await work.enqueue(MAIL_CODE, priority=PRIORITY, sender_id=str(sender_id))
    return row


async def confirm_sender(sender_id: UUID, code: str) -> Row:
    """Confirm a sender with the code mailed to it.

    Raises:
        NotFound: this tenant has no such sender.
        Conflict: there is no code, it has expired, or there were too many wrong codes.
        ValidationFailed: this is not the code.
    """
    sender = await Sender.filter(id=sender_id).first()
    if sender is None:
        raise NotFound
    if sender.confirmed_at is not None:
        return await SENDERS.get(sender_id)
    if not sender.code_hash or sender.code_expires_at is None or sender.code_expires_at < datetime.now(UTC):
        raise Conflict("There is no valid code; have a new one mailed with POST /mail/senders/{id}/resend.")
    # Counted before the code is compared, so that simultaneous requests cannot try more often.
    mine = Sender.filter(id=sender_id, code_hash=sender.code_hash, code_tries__lt=CODE_TRIES)
    if not await mine.update(code_tries=F("code_tries") + 1):
        raise Conflict("Too many wrong codes; have another mailed with POST /mail/senders/{id}/resend.")
    if not await asyncio.to_thread(_matches, code, sender.code_hash):
        raise ValidationFailed(details={"code": "This is not the code that was mailed last."})
    async with unit_of_work() as work:
        await Sender.filter(id=sender_id).update(code_hash="")
        change = await SENDERS.change(sender_id, {"confirmed_at": datetime.now(UTC), "code_expires_at": None})
        work.record("mail.senders.confirm", "sender", sender_id, after={"email": sender.email})
    return change.after


async def delete_sender(sender_id: UUID, *, version: int | None = None) -> None:
    """Delete a sender; messages accepted with it are still sent.

    Raises:
        NotFound: this tenant has no such sender.
        PreconditionFailed: `version` is no longer the sender's.
    """
    async with unit_of_work() as work:
        row = await SENDERS.remove(sender_id, version=version)
        work.record("mail.senders.delete", "sender", sender_id, before={"email": row["email"], "name": row["name"]})


async def mail_code(sender_id: UUID) -> None:
    """Generate a code and mail it through the deployment's providers; in a task, so that no code is stored in clear.

    Raises:
        GiveUp: the address or the message is refused permanently; the sender's `code_error` says why.
        TryAgain, Postpone: it could not be mailed now.
    """
    sender = await Sender.filter(id=sender_id, confirmed_at__isnull=True).first()
    if sender is None:
        return
    code = f"{secrets.randbelow(1_000_000):06}"
    code_hash = await asyncio.to_thread(_hashed, code, secrets.token_bytes(16))
    expires = datetime.now(UTC) + CODE_LIFE
    await Sender.filter(id=sender_id).update(
        code_hash=code_hash, code_expires_at=expires, code_tries=0, code_error="", version=F("version") + 1
    )
    try:
        await hand_over(await _code_mail(sender, code), within=CODE_LIFE)
    except Refused as refused:
        await Sender.filter(id=sender_id).update(code_error=str(refused)[:500])
        raise GiveUp(f"the code could not be mailed to {sender.email}: {refused}") from None


async def _code_mail(sender: Sender, code: str) -> Outgoing:
    """The mail with the code; it names the organisation by its slug, since its name is free text."""
    application, minutes = settings(Settings).sender, int(CODE_LIFE.total_seconds() // 60)
    text = (
        f'The organisation "{(await tenant()).slug}" wants to send mail from {sender.email}.\n\n'
        f"If you agree, give them this code within {minutes} minutes:\n\n"
        f"    {code}\n\n"
        "If you do not know what this is about, do nothing: without the code no mail is sent in your name.\n"
    )
    return Outgoing(
        # New for each code, so that mail programs do not drop the new code as a duplicate.
        message_id=f"<{uuid4()}@{application.email.rpartition('@')[2]}>",
        sender=application,
        to=(Address("", sender.email),),
        subject=f"{code} confirms {sender.email} as a sender",
        text=text,
        headers=MACHINE_MADE,
        category="sender_code",
    )


def _hashed(code: str, salt: bytes) -> str:
    """Hash with scrypt at the cost RFC 7914 gives for sign-in: trying all codes takes longer than a code is valid."""
    return f"{salt.hex()}:{scrypt(code.encode(), salt=salt, n=2**14, r=8, p=1).hex()}"


def _matches(code: str, code_hash: str) -> bool:
    salt = bytes.fromhex(code_hash.partition(":")[0])
    return hmac.compare_digest(_hashed(code, salt), code_hash)
