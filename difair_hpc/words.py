"""Words that agree with their number, and words from files: names, and text that a terminal can be shown."""

import re

_WITH_ONE = {"are": "is", "have": "has", "were": "was", "stand": "stands", "differ": "differs"}


def is_name(text: str) -> bool:
    """Whether a text can be the name of one file of ours: no part of a path, no sign that a terminal obeys."""
    return text.isprintable() and "/" not in text and text[:1] not in ("", ".", "-")


_HIDDEN = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\xad\\u061c\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f"
    "\\ud800-\\udfff\\ufeff\\ufff9-\\ufffb\\U000e0000-\\U000e007f]"
)
"""What a terminal obeys, or does not show, but for line ends and tabs: Unicode's control and format characters."""


def visible(text: str) -> str:
    r"""Return a text with its control characters written out, such as \x1b: what others wrote, a terminal shows."""
    return _HIDDEN.sub(lambda sign: ascii(sign[0])[1:-1], text)


def one_line(text: str) -> str:
    """Return a text as `visible` does, with its line ends and tabs written out as well."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def counted(count: float, noun: str, verb: str = "", *, form: str = "") -> str:
    """Return a count with a noun, and perhaps a verb, that agree with it: 1 run is, 2 runs are, 0 studies.

    Args:
        count: How many.
        noun: For one, such as run or study.
        verb: For many: are, have.
        form: How the count is written, as in an f-string; it also says which counts look like 1.
    """
    shown = format(count, form)
    if shown == "1":
        return f"1 {noun} {_WITH_ONE.get(verb, verb)}".rstrip()
    return f"{shown} {_plural(noun)} {verb}".rstrip()


def _plural(noun: str) -> str:
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("s", "x", "sh", "tch")) else f"{noun}s"
