"""Mail provider `ses`: send messages through Amazon Simple Email Service, API v2.

https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html
"""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from ..outgoing import REFERENCE, REFERENCE_HEADER, Outgoing
from ..settings import SesSettings
from .contract import ProviderUnavailable, Receipt, Refused, refuse_smtputf8, written

MOST_RECIPIENTS = 50
LONGEST_TAG = 256
KEPT_MESSAGE_ID = "Original-Message-ID"
"""SES overrides Message-ID (https://docs.aws.amazon.com/ses/latest/dg/header-fields.html); this header keeps ours."""

CONTENT = frozenset({"MessageRejected", "BadRequestException"})
"""Errors about the message; LATER: try again later; all others: about the account, its key or its settings."""

LATER = frozenset({"TooManyRequestsException", "Throttling", "ThrottlingException", "LimitExceededException"})

_TAG = re.compile(r"[A-Za-z0-9_.@-]+")


class SesProvider:
    """Amazon SES. `provider_id` is its message id, which its notifications name and which, at the region's domain,
    becomes the Message-ID that the recipient sees. Our reference comes back as the tag `reference`, and in a header."""

    name = "ses"

    def __init__(self, settings: SesSettings) -> None:
        self._settings = settings
        self._client: Any = None
        self._opening = asyncio.Lock()
        self._open = AsyncExitStack()

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        """SendEmail with the raw message; an answer with a MessageId means taken."""
        refuse_smtputf8(outgoing, "Amazon SES")
        if len(outgoing.recipients) > MOST_RECIPIENTS:
            raise Refused(f"Amazon SES takes {MOST_RECIPIENTS} recipients at most", permanent=True, kind="content")
        headers = [*outgoing.headers, (KEPT_MESSAGE_ID, outgoing.message_id)]
        if outgoing.reference:
            headers.append((REFERENCE_HEADER, outgoing.reference))
        request: dict[str, Any] = {
            "FromEmailAddress": outgoing.sender.email,
            "Destination": _destination(outgoing),
            "Content": {"Raw": {"Data": written(replace(outgoing, headers=tuple(headers)))}},
            "EmailTags": _tags(outgoing),
        }
        if self._settings.configuration_set:
            request["ConfigurationSetName"] = self._settings.configuration_set
        answer = await self._ask("send_email", **request)
        return Receipt(self.name, str(answer.get("MessageId", "")))

    async def check(self) -> str | None:
        """GetAccount: whether the account may send."""
        try:
            account = await self._ask("get_account")
        except (Refused, ProviderUnavailable) as error:
            return str(error)
        return None if account.get("SendingEnabled") else "the SES account's sending is switched off"

    async def close(self) -> None:
        """Close the connections."""
        self._client = None
        await self._open.aclose()

    async def _ask(self, operation: str, **request: Any) -> dict[str, Any]:
        # Imported here: it takes 100 ms and 30 MB, which only deployments with SES should pay for.
        from botocore.exceptions import (  # type: ignore[import-untyped]
            BotoCoreError,
            ClientError,
            ConnectionClosedError,
            NoCredentialsError,
            ParamValidationError,
            ReadTimeoutError,
        )

        try:
            client = self._client or await self._opened()
            answer: dict[str, Any] = await getattr(client, operation)(**request)
        except ClientError as error:
            raise _verdict(error.response) from None
        except ParamValidationError as error:
            raise Refused(str(error)[:500], permanent=True, kind="content") from None
        except NoCredentialsError as error:
            raise Refused(str(error), permanent=True, kind="provider") from None
        except (BotoCoreError, OSError) as error:
            uncertain = isinstance(error, ReadTimeoutError | ConnectionClosedError)
            raise ProviderUnavailable(f"Amazon SES cannot be reached: {error}", uncertain=uncertain) from None
        return answer

    async def _opened(self) -> Any:
        import aioboto3  # type: ignore[import-untyped]
        from botocore.config import Config  # type: ignore[import-untyped]

        async with self._opening:
            if self._client is None:
                settings = self._settings
                key = settings.access_key.get_secret_value()
                session = aioboto3.Session(
                    aws_access_key_id=key or None,
                    aws_secret_access_key=settings.secret_key.get_secret_value() if key else None,
                    region_name=settings.region,
                )
                config = Config(
                    connect_timeout=settings.timeout,
                    read_timeout=settings.timeout,
                    max_pool_connections=settings.concurrency,
                    # A retry inside the library could send twice unnoticed: the dispatcher decides about retries.
                    retries={"total_max_attempts": 1},
                )
                opening = session.client("sesv2", endpoint_url=settings.endpoint or None, config=config)
                self._client = await self._open.enter_async_context(opening)
            return self._client


def _destination(outgoing: Outgoing) -> dict[str, list[str]]:
    groups = {"ToAddresses": outgoing.to, "CcAddresses": outgoing.cc, "BccAddresses": outgoing.bcc}
    return {kind: [address.email for address in addresses] for kind, addresses in groups.items() if addresses}


def _tags(outgoing: Outgoing) -> list[dict[str, str]]:
    """https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_MessageTag.html"""
    tags = {REFERENCE: outgoing.reference, "category": outgoing.category}
    return [
        {"Name": name, "Value": value}
        for name, value in tags.items()
        if _TAG.fullmatch(value) and len(value) < LONGEST_TAG
    ]


def _verdict(response: Any) -> Refused | ProviderUnavailable:
    """https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html#API_SendEmail_Errors"""
    error = MappingProxyType(response.get("Error", {}))
    code, reason = str(error.get("Code", "")), str(error.get("Message", ""))[:500]
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in LATER or status in (408, 429) or status >= 500:
        return ProviderUnavailable(f"Amazon SES answers {code}: {reason}")
    if code in CONTENT and "not verified" not in reason:
        return Refused(reason, permanent=True, kind="content", code=code)
    reason = f"Amazon SES refuses the account's key or settings: {reason}"
    return Refused(reason, permanent=True, kind="provider", code=code)
