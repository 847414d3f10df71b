"""YAML without what it takes in silence: keys given twice, values that tags do not fit, bombs of aliases."""

from __future__ import annotations

from typing import IO, Any

import yaml

from largestep.config.errors import ConfigError, line, shown
from largestep.config.oddities import odd

# How deep mappings and lists may lie in each other, and how many values a file may come to with its aliases written
# out: far beyond any real study, and far from what exhausts the interpreter.
DEEPEST, MOST_VALUES = 50, 5_000_000


class Loader(yaml.SafeLoader):
    """A YAML loader that refuses what YAML takes in silence or fails on with an error of Python's own.

    These are a key given twice, of which YAML drops one, a value that its tag does not fit, nesting beyond `DEEPEST`,
    and aliases that lead back to themselves or multiply beyond `MOST_VALUES`.
    """

    def __init__(self, stream: IO[str]) -> None:
        super().__init__(stream)
        self._depth = 0
        # Of every node that is complete, how many values it comes to.
        self._sizes: dict[yaml.Node, int] = {}
        self._keys: set[yaml.Node] = set()

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        """Read one value, and count what it comes to."""
        mark = self.peek_event().start_mark
        if self._depth == DEEPEST:
            raise _at(mark, f"nested deeper than {DEEPEST} levels")
        self._depth += 1
        is_alias = self.check_event(yaml.AliasEvent)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is None or is_alias:
            if node is not None and node not in self._sizes:
                raise _at(mark, "an alias leads back to the value that holds it")
            return node
        parts: list[Any] = node.value if isinstance(node, yaml.CollectionNode) else []
        if isinstance(node, yaml.MappingNode):
            parts = [part for pair in parts for part in pair]
        self._sizes[node] = 1 + sum(self._sizes[part] for part in parts)
        if self._sizes[node] > MOST_VALUES:
            raise _at(mark, f"comes to more than {MOST_VALUES:,} values; use fewer aliases")
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Read one mapping, refusing a repeated key."""
        # Checked before construction, which puts the keys of merged mappings (<<) beside those written here.
        node = super().compose_mapping_node(anchor)
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                continue
            self._keys.add(key_node)
            key = self.construct_object(key_node)
            if key in seen:
                raise _at(key_node.start_mark, f"the name '{key}' is given twice; rename one of them")
            seen.add(key)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node; an `Odd` for a word that YAML takes for something else than it looks like."""
        try:
            value = super().construct_object(node, deep)
            # What is in quotes, or has another tag than its word would get, is meant.
            if isinstance(node, yaml.ScalarNode) and not node.style and self._is_implicit(node):
                return odd(node, value, is_key=node in self._keys) or value
            return value
        # PyYAML leaves what the text of a tagged value raises as it is.
        except (ValueError, LookupError, AttributeError) as error:
            if isinstance(error, ConfigError):
                raise
            kind = node.tag.rpartition(":")[2]
            raise _at(node.start_mark, f"{shown(node.value)} is no {kind}") from error

    def _is_implicit(self, node: yaml.ScalarNode) -> bool:
        return bool(self.resolve(yaml.ScalarNode, node.value, (True, False)) == node.tag)


def _at(mark: yaml.Mark, problem: str) -> ConfigError:
    return ConfigError(line(mark.name, f"line {mark.line + 1}: {problem}"))
