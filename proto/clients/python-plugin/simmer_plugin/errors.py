"""What can go wrong, for users and for authors."""

from __future__ import annotations


class UserError(Exception):
    """An error that is the user's to mend: Simmer prints it without a stack, with its hint.

    code: stable, snake_case, e.g. "missing_column".
    """

    def __init__(self, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


class HostError(UserError):
    """What Simmer was asked for and failed: a trainer, a grader, the disk. Let it pass, and the stage fails with it."""


class Canceled(Exception):
    """The stage is to stop. Let it pass."""
