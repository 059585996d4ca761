"""What both clients have in common, without a server."""

import inspect

from simmer_client import AsyncClient, Client


def test_both_clients_have_the_same_calls_with_the_same_parameters() -> None:
    assert calls_of(AsyncClient) == calls_of(Client)


def calls_of(client: type[Client] | type[AsyncClient]) -> dict[str, list[inspect.Parameter]]:
    """The parameters of what a client's callers may call, by name."""
    public = {name: call for name, call in vars(client).items() if not name.startswith("_")}
    return {name: list(inspect.signature(call).parameters.values()) for name, call in public.items()}
