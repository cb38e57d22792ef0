# SPDX-License-Identifier: GPL-2.0-only
"""The reason why a final configuration has not what was asked of it, in words."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Final

from kfunctest.kernels.kconfig import Condition, Definition, Known
from kfunctest.kernels.kconfig_expr import Expr

#: How far a chain of unmet dependencies is followed.
_DEPTH: Final = 4
#: How many of those who could select an option are named.
_SELECTORS: Final = 3


def why(known: Known, option: str, value: str, final: Mapping[str, str]) -> str:
    """Why ``final`` (``CONFIG_X`` -> value as in .config) has not ``option`` with ``value`` (``n``: not set)."""
    name = option.removeprefix("CONFIG_")
    definitions = known.definitions.get(name)
    if definitions is None:
        near = difflib.get_close_matches(name, known.definitions, 1, 0.75)
        return "there is no such option in this tree" + (f"; did you mean CONFIG_{near[0]}?" if near else "")
    seen = final.get(option, "n")
    if any(definition.transitional for definition in definitions):
        return f"it is an old name that only old configurations may use ({definitions[0].place})"
    if value == "n":
        return f"it is {seen}: {_forced(known, definitions, final)}"
    if reason := _unmet(known, definitions, final, _DEPTH):
        return reason
    if reason := _unchosen(known, definitions, final):
        return reason
    if ranges := [text for definition in definitions for text in definition.ranges]:
        return f"it is {seen}: its range is {' or '.join(ranges)}"
    macros = [str(need.expr) for definition in definitions for need in definition.needs if need.expr.is_macro]
    return f"it is {seen}: " + (f"the compiler must have {macros[0]}" if macros else f"see {definitions[0].place}")


def _forced(known: Known, definitions: list[Definition], final: Mapping[str, str]) -> str:
    name = definitions[0].name
    for select in known.selects.get(name, []):
        if final.get(f"CONFIG_{select.by}", "n") != "n" and select.condition.expr.value(final):
            return f"CONFIG_{select.by} selects it ({select.condition.place})"
    return _prompt(known, definitions, final) or f"other options need it ({definitions[0].place})"


def _unmet(known: Known, definitions: list[Definition], final: Mapping[str, str], depth: int) -> str:
    """What the definition that is nearest to being met needs, and why that is not there; empty when all is met."""
    unmet = min((_missing(definition.needs, final) for definition in definitions), key=len)
    return ", and ".join(dict.fromkeys(_need(known, part, place, final, depth) for part, place in unmet))


def _missing(needs: list[Condition], final: Mapping[str, str]) -> list[tuple[Expr, str]]:
    parts = [(part, need.place) for need in needs for part in need.expr.conjuncts()]
    return list({str(part): (part, place) for part, place in parts if part.value(final) < 2}.values())


def _need(known: Known, part: Expr, place: str, final: Mapping[str, str], depth: int) -> str:
    names = list(dict.fromkeys(part.symbols()))
    values = ", ".join(_state(known, name, final) for name in names)
    if len(names) != 1 or depth == 0 or part.op:
        return f"needs {part} ({place}), where {values}"
    if not (definitions := known.definitions.get(names[0])):
        return f"needs {part} ({place}), which is not in this tree"
    deeper = _unmet(known, definitions, final, depth - 1) or _prompt(known, definitions, final)
    return f"needs {part}, which is not set ({place})" + (f"; that {deeper}" if deeper else "")


def _state(known: Known, name: str, final: Mapping[str, str]) -> str:
    if name not in known.definitions:
        return f"CONFIG_{name} is not in this tree"
    value = final.get(f"CONFIG_{name}", "n")
    return f"CONFIG_{name} is " + ("not set" if value == "n" else value)


def _unchosen(known: Known, definitions: list[Definition], final: Mapping[str, str]) -> str:
    """The other member of a choice that was taken, or who would have to select the option."""
    for definition in definitions:
        for other in known.choices.get(definition.choice or "", []):
            if other != definition.name and final.get(f"CONFIG_{other}", "n") == "y":
                return f"CONFIG_{other} was taken, of the choice at {definition.choice}"
    return _prompt(known, definitions, final)


def _prompt(known: Known, definitions: list[Definition], final: Mapping[str, str]) -> str:
    """Why a fragment cannot set the option; empty when it can."""
    prompts = [prompt for definition in definitions for prompt in definition.prompts]
    if not prompts:
        selectors = [f"CONFIG_{select.by}" for select in known.selects.get(definitions[0].name, [])][:_SELECTORS]
        defaults = [text for definition in definitions for text in definition.defaults] or ["n"]
        by = f"only {' or '.join(selectors)} can select it" if selectors else f"its default is {' or '.join(defaults)}"
        return f"cannot be set by hand: {by} ({definitions[0].place})"
    hidden = min((_missing([prompt], final) for prompt in prompts), key=len)
    return f"can be chosen only with {hidden[0][0]} ({hidden[0][1]})" if hidden else ""
