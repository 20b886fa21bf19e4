"""Words that agree with their number."""

_WITH_ONE = {"are": "is", "have": "has", "were": "was", "stand": "stands", "differ": "differs"}


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
