"""The bodies of a fetch."""

from __future__ import annotations

from ._typing import TYPE_CHECKING
from .errors import bad_argument

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Optional, Union


class Fetched(dict[str, "Any"]):
    """The answer of another host: {status, headers, body, body_base64?}. A body that is no text is in body_base64."""

    @property
    def content(self) -> bytes:
        """The body as bytes, whether it is text or not."""
        encoded = self.get("body_base64")
        if encoded is None:
            return str(self.get("body") or "").encode()
        from binascii import a2b_base64  # imported here because few handlers need it

        return a2b_base64(encoded)


def request(
    url: str,
    method: str,
    headers: Optional[Mapping[str, str]],
    body: Union[str, bytes, None],
    timeout_ms: Optional[int],
) -> dict[str, Any]:
    """The body of the call."""
    content: dict[str, Any] = {"url": url, "method": method}
    if headers is not None:
        content["headers"] = headers
    if timeout_ms is not None:
        content["timeout_ms"] = timeout_ms
    if isinstance(body, str):
        content["body"] = body
    elif isinstance(body, (bytes, bytearray, memoryview)):
        import binascii  # imported here because few handlers need it

        content["body_base64"] = binascii.b2a_base64(body, newline=False).decode()
    elif body is not None:
        raise bad_argument("body", "must be a string or bytes")
    return content


def is_safe(method: str) -> bool:
    """True if a request of this method changes nothing, so that it may be sent twice."""
    return method in ("GET", "HEAD", "OPTIONS")
