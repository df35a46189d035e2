"""Writes wanesync/core/values/country_names.py from the Unicode CLDR.

Run it in an environment with ``pip install babel`` when a newer release of the CLDR is wanted:
``python -m tests.support.make_country_names``. Names that two countries share are left out.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from babel import Locale, UnknownLocaleError, __version__
from babel.core import get_global

from wanesync.core.values.countries import NAMES, fold_name

ROOT = Path(__file__).resolve().parents[2]

OUTPUT = ROOT / "wanesync" / "core" / "country_names.py"
LANGUAGES = (
    "en de fr es it pt pt_PT nl sv da nb nn fi is et lv lt pl cs sk sl hr sr sr_Latn bs mk sq bg ro hu el tr ru uk be "
    "he ar fa hi bn ur id ms vi th zh zh_Hant ja ko ka hy az kk sw af ca eu gl cy ga lb mt fil es_419 fr_CA de_CH"
).split()
"""Languages in which every country is named; besides them each country in its own official languages."""
OFFICIAL = {"official", "de_facto_official"}
HEAD = '''"""Names of countries in many languages: made by tests/support/make_country_names.py, not by hand.

From the Unicode CLDR, by way of Babel {version}. Copyright 2004-2025 Unicode, Inc.; licence: Unicode-3.0, in
LICENSE-UNICODE.
"""

from __future__ import annotations

'''


def main() -> None:
    """Collect the names, drop the ambiguous ones and write the module."""
    codes_of: dict[str, set[str]] = defaultdict(set)
    for language in LANGUAGES:
        for code, name in Locale.parse(language).territories.items():
            if code.lower() in NAMES:
                codes_of[fold_name(name)].add(code.lower())
    own = _own_names()
    for name, codes in own.items():
        codes_of[name] |= codes
    names: dict[str, list[str]] = defaultdict(list)
    for name, codes in codes_of.items():
        if len(codes) == 1 and len(name) > 1:
            names[next(iter(codes))].append(name)
    three = [
        f"{alias.lower()} {to[0].lower()}"
        for alias, to in sorted(get_global("territory_aliases").items())
        if len(alias) == 3 and alias.isalpha() and len(to) == 1 and to[0].lower() in NAMES
    ]
    lines = ["ALPHA_3 = (", *_wrap("|".join([*three, "xkx xk"])), ")", '"""Alpha-3 and alpha-2 code, in lower case."""']
    lines += ['LOCAL_NAMES = """\\', *("|".join([code, *sorted(names[code])]) for code in sorted(names)), '"""']
    text = (
        HEAD.format(version=__version__)
        + "\n".join(lines)
        + '\n"""Alpha-2 code and folded names, a country a line."""\n'
    )
    OUTPUT.write_text("# ruff: noqa: E501 - data\n" + text, encoding="utf-8")


def _own_names() -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for code, languages in get_global("territory_languages").items():
        for language, facts in languages.items():
            if code.lower() in NAMES and facts["official_status"] in OFFICIAL:
                try:
                    name = Locale.parse(language).territories.get(code)
                except (UnknownLocaleError, ValueError):
                    continue
                if name:
                    found[fold_name(name)].add(code.lower())
    return found


def _wrap(text: str, width: int = 108) -> list[str]:
    return [f'    "{text[at : at + width]}"' for at in range(0, len(text), width)]


if __name__ == "__main__":
    main()
