"""What a subcommand raises for input that it cannot take."""


class BadInputError(Exception):
    """The message names the argument, what came, and what was expected."""
