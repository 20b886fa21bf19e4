"""Reading YAML: numbers as everybody means them, and text for the keys that are text (kinds.py).

YAML 1.1 takes 1e-3 for text, 0123 for 83, `on` for true and 2024_11_28 for a number.
"""

import re
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from difair_hpc.config.kinds import kind_of
from difair_hpc.errors import UserError

UNREADABLE = (yaml.YAMLError, OSError, ValueError, RecursionError)
"""What reading a YAML file may raise: no YAML, no file, no text, or lists in lists without an end."""

_TAG = "tag:yaml.org,2002:"
_FLOAT = re.compile(
    r"""[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?$
    |[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+$
    |[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*$
    |[-+]?\.(?:inf|Inf|INF)$
    |\.(?:nan|NaN|NAN)$""",
    re.VERBOSE,
)
_DECIMAL = re.compile(r"[-+]?[0-9_]+")


class _Loader(yaml.SafeLoader):
    """YAML 1.1 with the numbers of YAML 1.2, without dates, and no key twice."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        sign: [(tag, form) for tag, form in forms if tag not in (f"{_TAG}float", f"{_TAG}timestamp")]
        for sign, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a duplicate key: YAML would keep the last one silently."""
        seen: set[str] = set()
        for name, _ in node.value:
            if isinstance(name, ScalarNode) and name.tag != f"{_TAG}merge":
                if name.value in seen:
                    problem = f"the key {name.value} occurs twice"
                    raise yaml.constructor.ConstructorError(None, None, problem, name.start_mark)
                seen.add(name.value)
        return super().construct_mapping(node, deep=deep)

    def construct_yaml_int(self, node: ScalarNode) -> int:
        """Read 0123 as 123."""
        if _DECIMAL.fullmatch(node.value):
            return int(node.value.replace("_", ""))
        return int(super().construct_yaml_int(node))


_Loader.add_implicit_resolver(f"{_TAG}float", _FLOAT, list("-+0123456789."))
_Loader.add_constructor(f"{_TAG}int", _Loader.construct_yaml_int)


def read_yaml(path: Path, *, under: str = "") -> dict[str, Any]:
    """Return the mapping that a YAML file holds.

    Args:
        path: The file.
        under: What its keys follow in the names of keys, such as cluster.

    Raises:
        UserError: it holds none, or cannot be read.
    """
    try:
        content = _loaded(path.read_text("utf-8"), under)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except UNREADABLE as error:
        raise UserError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold a mapping of keys to values.")
    return content


def _loaded(text: str, under: str) -> Any:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _keep_text(node, under)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _keep_text(node: Node, under: str) -> None:
    """Make text of each key of a mapping, and of each value whose key is text."""
    if not isinstance(node, MappingNode):
        return
    for number, (name, value) in enumerate(node.value):
        if name.tag == f"{_TAG}merge":
            for merged in value.value if isinstance(value, SequenceNode) else [value]:
                _keep_text(merged, under)
        elif isinstance(name, ScalarNode):
            key = f"{under}.{name.value}" if under else name.value
            node.value[number] = (_as_text(name), _of_kind(value, key))


def _of_kind(node: Node, key: str) -> Node:
    kind, is_null = kind_of(key), node.tag == f"{_TAG}null"
    if isinstance(node, ScalarNode):
        stays = kind == "other" or (kind != "text" and is_null) or (kind == "option" and node.tag == f"{_TAG}bool")
        return node if stays else _as_text(node)
    if isinstance(node, SequenceNode) and kind == "texts":
        node.value = [_as_text(one) for one in node.value]
    _keep_text(node, key)
    return node


def _as_text(node: Node) -> Node:
    """Return a scalar as it is written, unless it has a tag of its own."""
    plain = isinstance(node, ScalarNode) and node.style is None and node.tag.startswith(_TAG)
    return ScalarNode(f"{_TAG}str", node.value, node.start_mark, node.end_mark) if plain else node
