"""Mail provider `mailgun`: send whole MIME messages through Mailgun's API.

https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages/post-v3--domain-name--messages-mime
"""

from __future__ import annotations

from types import MappingProxyType

from ..outgoing import REFERENCE, Outgoing
from ..settings import MailgunSettings
from .contract import Kind, ProviderUnavailable, Receipt, Refused, refuse_smtputf8, written
from .http_api import Api, document_of, said

ENDPOINTS = MappingProxyType({"us": "https://api.mailgun.net", "eu": "https://api.eu.mailgun.net"})
MOST_RECIPIENTS = 1000  # https://documentation.mailgun.com/docs/mailgun/user-manual/sending-messages/batch-sending
TAG_LENGTH = 128


class MailgunProvider:
    """Mailgun. It sends our message unchanged, with our Message-ID, which its `id` (our `provider_id`) repeats.
    Our reference comes back in events as the user variable `reference`. Its own tracking is switched off."""

    name = "mailgun"

    def __init__(self, settings: MailgunSettings) -> None:
        self._domain = settings.domain
        self._api = Api(
            self.name,
            settings.endpoint or ENDPOINTS[settings.region],
            timeout=settings.timeout,
            connections=settings.concurrency,
            auth=("api", settings.api_key.get_secret_value()),
        )

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        """POST /v3/<domain>/messages.mime; 200 means queued."""
        refuse_smtputf8(outgoing, "Mailgun")
        if len(outgoing.recipients) > MOST_RECIPIENTS:
            raise Refused(f"Mailgun takes {MOST_RECIPIENTS} recipients at most", permanent=True, kind="content")
        options = {"o:tracking": "no"}
        if outgoing.category:
            options["o:tag"] = outgoing.category[:TAG_LENGTH]
        if outgoing.reference:
            options[f"v:{REFERENCE}"] = outgoing.reference
        answer = await self._api.post(
            f"/v3/{self._domain}/messages.mime",
            data={"to": ", ".join(outgoing.recipients), **options},
            files={"message": ("message.eml", written(outgoing), "message/rfc822")},
        )
        if not answer.is_success:
            raise self._refused(outgoing, said(answer), str(answer.status_code))
        return Receipt(self.name, str(document_of(answer).get("id", "")).strip("<>"))

    async def check(self) -> str | None:
        """POST an empty message: with a right key and domain the answer is 400, with wrong ones 401 or 404.

        Unlike reading the domain, this works with keys that may only send, too.
        """
        try:
            await self._api.post(f"/v3/{self._domain}/messages")
        except (Refused, ProviderUnavailable) as error:
            return str(error)
        return None

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    def _refused(self, outgoing: Outgoing, reason: str, code: str) -> Refused:
        """https://documentation.mailgun.com/docs/mailgun/quickstart-guide/responses"""
        about_address = "not a valid address" in reason and reason.startswith("to")
        kind: Kind = "address" if about_address else "content"
        # With one recipient it is clear who is meant.
        refused_emails = outgoing.recipients if about_address and len(outgoing.recipients) == 1 else ()
        recipients = {email: Refused(reason, permanent=True, kind="address", code=code) for email in refused_emails}
        return Refused(reason, permanent=True, kind=kind, code=code, recipients=recipients)
