"""A user's mistake ends a program with its sentence and status 1: the four command lines of training share this."""

from collections.abc import Iterator
from contextlib import contextmanager
from tomllib import TOMLDecodeError

from pydantic import ValidationError


class Mistake(Exception):
    """What a user can mend; the message is a sentence that says how."""


class RecipeError(Mistake, ValueError):
    """The recipe, or an option, asks for what the network or the data have not."""


@contextmanager
def told() -> Iterator[None]:
    """Around a whole program. A file that is missing or cannot be written is the user's to mend too."""
    try:
        yield
    except ValidationError as error:
        fields = ("  ".join([".".join(map(str, each["loc"])), each["msg"]]) for each in error.errors())
        raise SystemExit(f"{error.title} cannot be read:\n  " + "\n  ".join(fields)) from None
    except (Mistake, OSError, TOMLDecodeError) as error:
        raise SystemExit(str(error)) from None
