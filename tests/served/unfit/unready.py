"""Cannot be set up."""

import sidewinder


@sidewinder.setup
def load() -> None:
    """Looks for what is not there."""
    raise RuntimeError("the model is missing")


@sidewinder.tool
def add() -> None:
    """Is never reached."""
