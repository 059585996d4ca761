"""How servers are reached, for both clients."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path

import grpc

from simmer_client.types import Tls

OPTIONS = [
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.enable_http_proxy", 0),
]

#: Seconds to wait before a call is made again, or a broken stream taken up, the last one for all further times.
PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0)
#: How often in a row a broken stream is taken up again.
TRIES = 30
#: Seconds that a call may take.
CALL_SECONDS = 60
#: Seconds that a call may take that reads whole tables.
READING_SECONDS = 600


def address_of(address: str | None) -> str:
    """The address that is given, or that of SIMMER_SERVER."""
    found = address or os.environ.get("SIMMER_SERVER")
    if not found:
        raise ValueError("give the address of a server (unix:PATH or HOST:PORT), or set SIMMER_SERVER")
    # gRPC would take port 443 where there is none.
    if not re.fullmatch(r"unix:.+|(\[[0-9A-Fa-f:]+\]|[^\s:/]+):\d{1,5}", found):
        raise ValueError(f"{found!r} is no address of a server; it reads unix:PATH, HOST:PORT or [IPV6]:PORT")
    return found


def metadata_of(token: str | None) -> tuple[tuple[str, str], ...]:
    """What every call carries."""
    token = token or os.environ.get("SIMMER_SERVER_TOKEN")
    return (("authorization", f"Bearer {token}"),) if token else ()


def credentials_of(target: str, tls: Tls | None) -> grpc.ChannelCredentials | None:
    """None for a connection that is not encrypted: to this machine, where no files are given.

    Without `tls`, the files are those of SIMMER_SERVER_CA, SIMMER_SERVER_CERT and SIMMER_SERVER_KEY.
    """
    tls = tls or _tls_of_environment()
    if tls is None and _is_local(target):
        return None

    def read(file: str | None) -> bytes | None:
        return Path(file).read_bytes() if file else None

    tls = tls or Tls()
    if (tls.certificate is None) != (tls.key is None):
        raise ValueError("a client's certificate goes with its key: give both, or neither")
    return grpc.ssl_channel_credentials(read(tls.authority), read(tls.key), read(tls.certificate))


def _tls_of_environment() -> Tls | None:
    names = ("SIMMER_SERVER_CA", "SIMMER_SERVER_CERT", "SIMMER_SERVER_KEY")
    files = [os.environ.get(name) or None for name in names]
    return Tls(*files) if any(files) else None


def _is_local(target: str) -> bool:
    """Whether nobody else can listen in, and so no token goes out in the clear."""
    if target.startswith("unix:"):
        return True
    host = target.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
