"""How text that others wrote may stand in a message: on one line, bounded, printable."""

import unicodedata

IMAGE_LIMIT = 200
_ELLIPSIS = "…"


def shown(text: str, limit: int = IMAGE_LIMIT) -> str:
    """Return ``text`` with what a terminal would act on escaped, cut at ``limit`` characters.

    An image, a name or a field can hold anything that JSON can: line breaks, escape
    sequences, marks that turn the direction of writing.
    """
    safe = "".join(_visible(character) for character in text[: limit + 1])
    return safe if len(safe) <= limit else safe[: limit - 1] + _ELLIPSIS


def quoted(text: str, limit: int = IMAGE_LIMIT) -> str:
    """Return ``text`` as shown, between double quotes."""
    return f'"{shown(text, limit)}"'


def shell_word(text: str) -> str:
    """Return ``text`` as one word that can be pasted into a shell."""
    word = shown(text)
    if word and all(c.isalnum() or c in "-_./:@=%+," for c in word):
        return word
    return "'" + word.replace("'", "'\\''") + "'"


def readable(text: str) -> str:
    """Return text that bytes gave (a Secret's, an argument's), with what is no UTF-8 replaced."""
    return "".join("\N{REPLACEMENT CHARACTER}" if "\ud800" <= c <= "\udfff" else c for c in text)


def _visible(character: str) -> str:
    if character == " " or not unicodedata.category(character).startswith(("C", "Z")):
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004  # one byte
