"""When a connection is encrypted, and by what."""

import pytest

from simmer_client import Tls
from simmer_client.connection import address_of, credentials_of

LOCAL = ["unix:/run/simmer/control.sock", "localhost:7070", "127.0.0.1:7070", "[::1]:7070"]
REMOTE = ["trainer.example:7070", "192.0.2.1:7070", "[2001:db8::1]:7070", "127.example:7070"]


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SIMMER_SERVER_CA", "SIMMER_SERVER_CERT", "SIMMER_SERVER_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("address", [*LOCAL, *REMOTE])
def test_an_address_is_a_socket_or_a_host_with_its_port(address: str) -> None:
    assert address_of(address) == address


@pytest.mark.parametrize("address", ["localhost", "http://localhost:7070", "unix:", "::1", "localhost:port"])
def test_what_is_no_address_is_told_before_anything_is_called(address: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        address_of(address)


@pytest.mark.parametrize("target", LOCAL)
def test_this_machine_needs_no_encryption(target: str) -> None:
    assert credentials_of(target, None) is None
    assert credentials_of(target, Tls()) is not None


@pytest.mark.parametrize("target", REMOTE)
def test_no_token_goes_to_another_machine_in_the_clear(target: str) -> None:
    assert credentials_of(target, None) is not None


def test_the_files_are_those_of_the_environment_where_none_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMMER_SERVER_CA", "/no/such/ca.pem")
    with pytest.raises(FileNotFoundError, match=r"ca\.pem"):
        credentials_of("localhost:7070", None)


@pytest.mark.parametrize("half", [Tls(certificate="own.pem"), Tls(key="own.key")])
def test_a_certificate_goes_with_its_key(half: Tls) -> None:
    with pytest.raises(ValueError, match="goes with its key"):
        credentials_of("localhost:7070", half)
