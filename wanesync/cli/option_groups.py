"""Options that several commands share, as one value: a dataclass in a command's signature stands for its fields."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import get_type_hints


def spread_options(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command as Typer is to see it: in place of each dataclass it takes, an option for each of its fields.

    Its fields are annotated as parameters are: ``since: Annotated[str | None, typer.Option(...)] = None``. The command
    raises what the dataclass raises when it is made, such as ConfigError for options that exclude one another.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type] = {}
    shown: list[Parameter] = []
    for parameter in signature(command).parameters.values():
        hint = hints[parameter.name]
        if isinstance(hint, type) and is_dataclass(hint):
            groups[parameter.name] = hint
            shown += _list_options(hint)
        else:
            shown.append(parameter.replace(annotation=hint))
    names = {name: [option.name for option in _list_options(group)] for name, group in groups.items()}

    @wraps(command)
    def run(**given: object) -> None:
        made = {name: group(**{one: given.pop(one) for one in names[name]}) for name, group in groups.items()}
        command(**given, **made)

    run.__signature__ = Signature(shown)  # type: ignore[attr-defined] # read by inspect.signature, and so by Typer
    run.__annotations__ = {option.name: option.annotation for option in shown}
    return run


def _list_options(group: type) -> Iterator[Parameter]:
    hints = get_type_hints(group, include_extras=True)
    for field in fields(group):
        if field.init:
            default = Parameter.empty if field.default is MISSING else field.default
            yield Parameter(field.name, Parameter.KEYWORD_ONLY, default=default, annotation=hints[field.name])
