"""The shapes of replies, for type checkers. Nothing here is needed at run time.

The package client/wire has the same shapes for Go. A time is text as RFC 3339 writes it.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

# The kinds of problems: the keys of hearth.errors.KINDS.
KindName = Literal[
    "answer-too-large",
    "bad-body",
    "bad-field",
    "expired",
    "forbidden",
    "headers",
    "internal",
    "key-reused",
    "may-miss-writes",
    "media-type",
    "method",
    "no-such-call",
    "no-such-job",
    "not-allowed",
    "not-cached",
    "not-configured",
    "not-http",
    "odoo",
    "overloaded",
    "partial",
    "preprocess",
    "redirected",
    "search-cut-short",
    "secret",
    "shutting-down",
    "slow-request",
    "timeout",
    "token",
    "too-large",
    "unavailable",
    "unknown-outcome",
    "unreachable",
    "weaviate",
    "wrong-class",
]


class _BatchCall(TypedDict):
    method: str  # as in HTTP
    path: str  # with the query, encoded as in HTTP: see Client.chat_path


class BatchRequest(_BatchCall, total=False):
    """One call of a batch."""

    id: str  # 1 to 128 bytes, different from the others'; by default the place in the batch, from "0" on
    headers: dict[str, str]  # such as {"Cache-Control": "no-cache"}
    body: Any  # what json can write; None means no body
    timeout_ms: int


class BatchResponse(TypedDict):
    """The answer to one call of a batch, as it would have been to the call alone."""

    id: str
    status: int
    headers: dict[str, str]  # under the names as they are sent, such as Cache-Status
    body: Any  # decoded; a problem report if the status is 400 or higher; None if there is no body


class CacheCounts(TypedDict):
    """What the cache did with requests since the sidecar started, and what it holds now."""

    hits: int  # answered fresh from memory
    misses: int  # had to be loaded; requests that shared a load count
    stale: int  # answered from memory although no longer fresh
    errors: int  # loads that failed
    hit_ratio: float  # (hits + stale) / (hits + stale + misses)
    entries: int  # held now
    bytes: int  # held now, overhead included


class CacheStats(CacheCounts):
    """The counts of the whole cache, and of each resource: history, mute, relevant, odoo_read, odoo_models, and fetch once it was used."""

    max_bytes: int
    evictions: int  # entries removed to make room
    rejected: int  # entries not let in
    resources: dict[str, CacheCounts]


class Quantiles(TypedDict):
    """Quantiles of the last 512 observations, in milliseconds. count is of all observations."""

    count: int
    p50: float
    p90: float
    p99: float
    max: float


class BreakerStats(TypedDict):
    """The breaker of an upstream. Its pools share it."""

    state: str  # closed: every request is sent; open or half-open: none is, except a read that tries whether the upstream answers
    opened: int  # times that it has opened
    refused: int  # requests that were not sent because it was open
    probes: int  # requests by which Hearth itself asks whether the upstream answers again


class PoolStats(TypedDict):
    """What a connection pool holds now, and what it has done since the sidecar started."""

    size: int  # requests at the same time at most, and connections kept
    limit: int  # requests at the same time now: it follows the demand
    open: int  # connections open now
    idle: int  # of them, those that no request uses
    in_use: int  # requests that hold a slot now
    queue: int  # requests that wait for a slot now
    requests: int  # tries sent, retries included
    failures: int  # tries without an answer
    retries: int  # tries after a first one
    retries_refused: int  # retries that were not sent because their budget was used up
    dials: int  # connections begun
    dial_errors: int  # of them, those that failed
    reused: int  # tries over a connection that was open before they came
    races: int  # tries sent over a second connection because a freeze may have broken the first
    replays: int  # tries sent again at once because the connection broke
    looks: int  # looks at the connection of a request that had no answer for long
    dead: int  # connections that a look has found dead
    hedges: int  # tries sent beside a first one because the upstream was slow
    handshakes: int  # TLS handshakes finished
    resumed: int  # of them, those that resumed a session
    waits: int  # requests that had to wait for a slot
    rejected: int  # requests refused because the queue was full
    breaker: BreakerStats
    wait_ms: float  # time waited for slots in all
    round_trip_ms: Quantiles  # from the connection in hand to the first byte of the answer


class UpstreamStats(PoolStats, total=False):
    """The sums over an upstream's pools, and each pool where there are several."""

    grpc: PoolStats
    rest: PoolStats


class _Advice(TypedDict):
    rule: str  # such as odoo-ceiling
    text: str  # sentences with what was measured


class Advice(_Advice, total=False):
    """What to change in the sidecar's settings, and why."""

    setting: str
    suggestion: str  # a value of the setting
