"""The errors a user can meet, each with the exit code it ends the command line with."""


class BfaError(Exception):
    """An error with a message for the user; raised where its cause is known."""

    exit_code = 1


class RequestError(BfaError):
    """The request itself is wrong: nothing was touched."""

    exit_code = 2


class WorkError(BfaError):
    """The request was right, but the work failed or is incomplete."""
