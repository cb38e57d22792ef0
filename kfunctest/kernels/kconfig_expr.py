# SPDX-License-Identifier: GPL-2.0-only
"""Expressions of the Kconfig language (Documentation/kbuild/kconfig-language.rst of the kernel), and their values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

_TOKEN: Final = re.compile(
    r"""\s*( \$\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\) | "[^"]*" | '[^']*'
          | && | \|\| | != | <= | >= | [=<>!()] | [\w./-]+ )""",
    re.VERBOSE,
)
_TRISTATE: Final = {"n": 0, "m": 1, "y": 2}
_COMPARISONS: Final = ("=", "!=", "<", ">", "<=", ">=")


@dataclass(frozen=True, slots=True)
class Expr:
    """A symbol, string or macro (``op`` is empty, ``text`` says which), or an operator over ``args``."""

    op: str
    text: str = ""
    args: tuple[Expr, ...] = ()

    def __str__(self) -> str:
        if self.op == "!":
            return f"!{_inner(self.args[0])}"
        if self.op:
            return f" {self.op} ".join(map(_inner, self.args))
        return f"CONFIG_{self.text}" if self.is_symbol else self.text

    @property
    def is_symbol(self) -> bool:
        return not self.op and re.fullmatch(r"(?!0x)\w*[A-Z]\w*", self.text) is not None

    @property
    def is_macro(self) -> bool:
        return self.text.startswith("$(")

    def symbols(self) -> Iterator[str]:
        """The names of the options in it, without ``CONFIG_``."""
        if self.is_symbol:
            yield self.text
        for arg in self.args:
            yield from arg.symbols()

    def value(self, config: Mapping[str, str]) -> int:
        """0, 1 or 2 for n, m and y. A macro asks the compiler something; it counts as y."""
        if self.op == "!":
            return 2 - self.args[0].value(config)
        if self.op == "&&":
            return min(arg.value(config) for arg in self.args)
        if self.op == "||":
            return max(arg.value(config) for arg in self.args)
        if self.op:
            return 2 if _compare(self.op, *(arg.word(config) for arg in self.args)) else 0
        return 2 if self.is_macro else _TRISTATE.get(self.word(config), 0)

    def word(self, config: Mapping[str, str]) -> str:
        """A symbol's value, or what else stands there, without quotes."""
        if self.is_symbol:
            return config.get(f"CONFIG_{self.text}", "n").strip('"')
        return self.text.strip("\"'")

    def conjuncts(self) -> Iterator[Expr]:
        """The parts that must hold each."""
        if self.op == "&&":
            for arg in self.args:
                yield from arg.conjuncts()
        else:
            yield self


def parse(text: str) -> Expr:
    """The expression ``text``; ``A if B``, as `depends on` may have it, holds where B does not. Raises ValueError."""
    tokens = _TOKEN.findall(text)
    if "".join(tokens) != "".join(text.split()) and "$(" not in text and '"' not in text and "'" not in text:
        raise ValueError(text)
    expr = _or(tokens)
    if tokens[:1] == ["if"]:
        tokens.pop(0)
        expr = Expr("||", args=(expr, Expr("!", args=(_or(tokens),))))
    if tokens:
        raise ValueError(text)
    return expr


def both(first: Expr, second: Expr) -> Expr:
    return Expr("&&", args=(first, second))


def _inner(expr: Expr) -> str:
    return f"({expr})" if expr.op in ("&&", "||") else str(expr)


def _or(tokens: list[str]) -> Expr:
    return _chain(tokens, "||", lambda: _chain(tokens, "&&", lambda: _term(tokens)))


def _chain(tokens: list[str], op: str, operand: Callable[[], Expr]) -> Expr:
    args = [operand()]
    while tokens[:1] == [op]:
        tokens.pop(0)
        args.append(operand())
    return args[0] if len(args) == 1 else Expr(op, args=tuple(args))


def _term(tokens: list[str]) -> Expr:
    if not tokens:
        raise ValueError("it ends too early")
    first = tokens.pop(0)
    if first == "!":
        return Expr("!", args=(_term(tokens),))
    if first == "(":
        inner = _or(tokens)
        if tokens[:1] != [")"]:
            raise ValueError("a parenthesis is not closed")
        tokens.pop(0)
        return inner
    left = Expr("", first)
    if tokens and tokens[0] in _COMPARISONS:
        return Expr(tokens.pop(0), args=(left, _term(tokens)))
    return left


def _compare(op: str, left: str, right: str) -> bool:
    if op == "=":
        return left == right
    if op == "!=":
        return left != right
    try:
        a, b = int(left, 0), int(right, 0)
    except ValueError:
        return True
    return {"<": a < b, ">": a > b, "<=": a <= b, ">=": a >= b}[op]
