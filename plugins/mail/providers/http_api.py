"""HTTP client for mail providers with a web API: pooled connections, errors mapped to ours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from .contract import ProviderUnavailable, Refused

if TYPE_CHECKING:
    import httpx

LONGEST_WAIT = timedelta(hours=1)


class Api:
    """One provider's web API over pooled connections."""

    def __init__(self, name: str, endpoint: str, *, timeout: float, connections: int, **options: Any) -> None:
        """timeout: seconds. options: of `httpx.AsyncClient`, such as `auth` and `headers`."""
        self.name, self.endpoint = name, endpoint.rstrip("/")
        self._timeout, self._connections, self._options = timeout, connections, options
        self._client: httpx.AsyncClient | None = None

    async def post(self, path: str, **options: Any) -> httpx.Response:
        """The answer to a POST, when it is a success or a complaint about what was posted (400, 413, 422).

        Raises:
            ProviderUnavailable: no answer, 408, 429 or 5xx.
            Refused: the key or the address is wrong: any other status.
        """
        return await self._ask("POST", path, **options)

    async def get(self, path: str) -> httpx.Response:
        """The answer to a GET; raises as `post`."""
        return await self._ask("GET", path)

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        import httpx

        if self._client is None:
            limits = httpx.Limits(max_connections=self._connections, max_keepalive_connections=self._connections)
            self._client = httpx.AsyncClient(timeout=self._timeout, limits=limits, **self._options)
        try:
            answer = await self._client.request(method, self.endpoint + path, **options)
        except httpx.HTTPError as error:
            uncertain = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
            raise ProviderUnavailable(
                f"{self.name} cannot be reached: {error or type(error).__name__}", uncertain=uncertain
            ) from None
        status = answer.status_code
        if status in (408, 429) or status >= 500:
            raise ProviderUnavailable(f"{self.name} answers {status}: {said(answer)}", wait=asked_to_wait(answer))
        if not answer.is_success and status not in (400, 413, 422):
            reason = f"{self.name} refuses the API key or the settings: {said(answer)}"
            raise Refused(reason, permanent=True, kind="provider", code=str(status))
        return answer


def said(answer: httpx.Response) -> str:
    """The message of an error answer, of the shapes `{"errors": [{"message"}]}` and `{"message"}`, or as text."""
    document = document_of(answer)
    if isinstance(errors := document.get("errors"), list):
        return "; ".join(str(each.get("message")) for each in errors if isinstance(each, dict))[:500]
    return str(document.get("message") or answer.text)[:500]


def document_of(answer: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer; empty when the answer is no JSON object."""
    try:
        document = answer.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def asked_to_wait(answer: httpx.Response) -> timedelta | None:
    """How long the provider asks not to be called: Retry-After (RFC 9110), or X-RateLimit-Reset in Unix time."""
    now = datetime.now(UTC)
    try:
        if text := answer.headers.get("Retry-After"):
            until = now + timedelta(seconds=int(text)) if text.isdigit() else parsedate_to_datetime(text)
        elif text := answer.headers.get("X-RateLimit-Reset"):
            until = datetime.fromtimestamp(int(text), UTC)
        else:
            return None
        return min(max(until - now, timedelta()), LONGEST_WAIT)
    except (ValueError, TypeError, OverflowError, OSError):
        return None
