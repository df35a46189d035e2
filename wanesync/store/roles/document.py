"""The matrix for people: the table of docs/security.md, which ``wanesync db roles --table`` prints."""

from __future__ import annotations

from wanesync.store.roles.matrix import FUNCTIONS, MATRIX, PLAIN, Role, Rule, Verb, find_access

_ROLES = tuple(role for role in Role if role is not Role.MIGRATE)
_HEAD = {role: str(role).replace("_", "-") for role in Role}


def list_access(role: Role, table: str) -> dict[str, str]:
    """Return verb -> its rule in words, "" for every column and row."""
    return {str(verb): describe_rule(rule) for verb, rule in find_access(role, table).items()}


def describe_rule(rule: Rule) -> str:
    """Return a rule in words, "" if it touches every column and row."""
    becomes = f"afterwards `{rule.becomes}`" if rule.becomes else ""
    rows = f"rows `{rule.rows}`" if rule.rows and rule.rows != "true" else ""
    return ", ".join(filter(None, (_describe_columns(rule), rows, becomes)))


def _describe_columns(rule: Rule) -> str:
    if not rule.columns:
        return ""
    if rule.columns == PLAIN:
        return "all columns but sealed ones"
    names = ", ".join(f"`{name.removeprefix('-')}`" for name in rule.columns)
    return f"all columns but {names}" if rule.columns[0].startswith("-") else f"columns {names}"


def describe_matrix() -> str:
    """Return the matrix, its rules and the functions as Markdown."""
    head = " | ".join(_HEAD[role] for role in _ROLES)
    rows = [f"| {table} | " + " | ".join(_cell(role, table) for role in _ROLES) + " |" for table in MATRIX]
    lines = [f"| table | {head} |", "|---" * (len(_ROLES) + 1) + "|", *rows, "", *_list_rules(), "", *_list_functions()]
    return "\n".join(lines)


def _cell(role: Role, table: str) -> str:
    """Return the first letters of the verbs, small where a rule of columns or rows limits one."""
    access = find_access(role, table)
    found = [
        (verb[0].lower() if describe_rule(access[verb]) else str(verb[0])) if verb in access else "–" for verb in Verb
    ]
    return "".join(found)


def _list_rules() -> list[str]:
    lines = []
    for table in MATRIX:
        rules: dict[str, list[str]] = {}
        for verb in Verb:
            for role in _ROLES:
                rule = find_access(role, table).get(verb)
                text = describe_rule(rule) if rule else ""
                if text:
                    rules.setdefault(f"{verb}: {text}", []).append(_HEAD[role])
        for text, roles in rules.items():
            name, _, limits = text.partition(": ")
            lines.append(f"- **{table}**, {name} by {', '.join(roles)}: {limits}")
    return lines


def _list_functions() -> list[str]:
    allowed = [f"`{name}` by {', '.join(_HEAD[role] for role in roles)}" for name, roles in FUNCTIONS.items() if roles]
    denied = [f"`{name}`" for name, roles in FUNCTIONS.items() if not roles]
    return [f"Functions: {'; '.join(allowed)}. By migrate alone: {', '.join(denied)}."]
