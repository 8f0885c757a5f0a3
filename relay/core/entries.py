"""Lists as an operator writes them, in a setting or in a file."""

from collections.abc import Iterator


def entries(text: str) -> Iterator[str]:
    """What stands between commas and line ends, stripped; a line that begins with `#` is a comment."""
    for line in text.splitlines():
        if not line.lstrip().startswith("#"):
            yield from (entry.strip() for entry in line.split(",") if entry.strip())
