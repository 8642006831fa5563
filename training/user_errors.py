"""Errors that the user can fix; the command lines end with the message and status 1, without a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager
from tomllib import TOMLDecodeError

from pydantic import ValidationError


class UserError(Exception):
    """An error that the user can fix; the message says how."""


class RecipeError(UserError, ValueError):
    """The recipe or an option does not fit the network or the data."""


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """Ends the program with a sentence for a user error, and for a missing file or one that cannot be written."""
    try:
        yield
    except ValidationError as error:
        fields = ("  ".join([".".join(map(str, each["loc"])), each["msg"]]) for each in error.errors())
        raise SystemExit(f"{error.title} cannot be read:\n  " + "\n  ".join(fields)) from None
    except (UserError, OSError, TOMLDecodeError) as error:
        raise SystemExit(str(error)) from None
