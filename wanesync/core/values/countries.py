"""Countries by their ISO 3166-1 codes and their official, common, English and local names.

See docs/correctness.md#countries. The names of the usual languages are in ``country_names``, which is made from the
Unicode CLDR; here are the English names that HubSpot is given, and names in use that the CLDR does not list.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import cache, lru_cache
from itertools import product

from wanesync.core.values.characters import remove_invisible

_TABLE = (
    "ad Andorra|ae United Arab Emirates|af Afghanistan|ag Antigua and Barbuda|ai Anguilla|al Albania|am Armenia|"
    "ao Angola|aq Antarctica|ar Argentina|as American Samoa|at Austria|au Australia|aw Aruba|ax Åland Islands|"
    "az Azerbaijan|ba Bosnia and Herzegovina|bb Barbados|bd Bangladesh|be Belgium|bf Burkina Faso|bg Bulgaria|"
    "bh Bahrain|bi Burundi|bj Benin|bl Saint Barthélemy|bm Bermuda|bn Brunei|bo Bolivia|bq Caribbean Netherlands|"
    "br Brazil|bs Bahamas|bt Bhutan|bv Bouvet Island|bw Botswana|by Belarus|bz Belize|ca Canada|cc Cocos Islands|"
    "cd Democratic Republic of the Congo|cf Central African Republic|cg Congo|ch Switzerland|ci Côte d'Ivoire|"
    "ck Cook Islands|cl Chile|cm Cameroon|cn China|co Colombia|cr Costa Rica|cu Cuba|cv Cape Verde|cw Curaçao|"
    "cx Christmas Island|cy Cyprus|cz Czech Republic|de Germany|dj Djibouti|dk Denmark|dm Dominica|"
    "do Dominican Republic|dz Algeria|ec Ecuador|ee Estonia|eg Egypt|eh Western Sahara|er Eritrea|es Spain|"
    "et Ethiopia|fi Finland|fj Fiji|fk Falkland Islands|fm Micronesia|fo Faroe Islands|fr France|ga Gabon|"
    "gb United Kingdom|gd Grenada|ge Georgia|gf French Guiana|gg Guernsey|gh Ghana|gi Gibraltar|gl Greenland|"
    "gm Gambia|gn Guinea|gp Guadeloupe|gq Equatorial Guinea|gr Greece|gs South Georgia|gt Guatemala|gu Guam|"
    "gw Guinea-Bissau|gy Guyana|hk Hong Kong|hm Heard Island and McDonald Islands|hn Honduras|hr Croatia|ht Haiti|"
    "hu Hungary|id Indonesia|ie Ireland|il Israel|im Isle of Man|in India|io British Indian Ocean Territory|iq Iraq|"
    "ir Iran|is Iceland|it Italy|je Jersey|jm Jamaica|jo Jordan|jp Japan|ke Kenya|kg Kyrgyzstan|kh Cambodia|"
    "ki Kiribati|km Comoros|kn Saint Kitts and Nevis|kp North Korea|kr South Korea|kw Kuwait|ky Cayman Islands|"
    "kz Kazakhstan|la Laos|lb Lebanon|lc Saint Lucia|li Liechtenstein|lk Sri Lanka|lr Liberia|ls Lesotho|"
    "lt Lithuania|lu Luxembourg|lv Latvia|ly Libya|ma Morocco|mc Monaco|md Moldova|me Montenegro|mf Saint Martin|"
    "mg Madagascar|mh Marshall Islands|mk North Macedonia|ml Mali|mm Myanmar|mn Mongolia|mo Macao|"
    "mp Northern Mariana Islands|mq Martinique|mr Mauritania|ms Montserrat|mt Malta|mu Mauritius|mv Maldives|"
    "mw Malawi|mx Mexico|my Malaysia|mz Mozambique|na Namibia|nc New Caledonia|ne Niger|nf Norfolk Island|"
    "ng Nigeria|ni Nicaragua|nl Netherlands|no Norway|np Nepal|nr Nauru|nu Niue|nz New Zealand|om Oman|pa Panama|"
    "pe Peru|pf French Polynesia|pg Papua New Guinea|ph Philippines|pk Pakistan|pl Poland|"
    "pm Saint Pierre and Miquelon|pn Pitcairn|pr Puerto Rico|ps Palestine|pt Portugal|pw Palau|py Paraguay|qa Qatar|"
    "re Réunion|ro Romania|rs Serbia|ru Russia|rw Rwanda|sa Saudi Arabia|sb Solomon Islands|sc Seychelles|sd Sudan|"
    "se Sweden|sg Singapore|sh Saint Helena|si Slovenia|sj Svalbard and Jan Mayen|sk Slovakia|sl Sierra Leone|"
    "sm San Marino|sn Senegal|so Somalia|sr Suriname|ss South Sudan|st Sao Tome and Principe|sv El Salvador|"
    "sx Sint Maarten|sy Syria|sz Eswatini|tc Turks and Caicos Islands|td Chad|tf French Southern Territories|tg Togo|"
    "th Thailand|tj Tajikistan|tk Tokelau|tl Timor-Leste|tm Turkmenistan|tn Tunisia|to Tonga|tr Turkey|"
    "tt Trinidad and Tobago|tv Tuvalu|tw Taiwan|tz Tanzania|ua Ukraine|ug Uganda|um US Minor Outlying Islands|"
    "us United States|uy Uruguay|uz Uzbekistan|va Vatican City|vc Saint Vincent and the Grenadines|ve Venezuela|"
    "vg British Virgin Islands|vi US Virgin Islands|vn Vietnam|vu Vanuatu|wf Wallis and Futuna|ws Samoa|"
    "xk Kosovo|ye Yemen|yt Mayotte|za South Africa|zm Zambia|zw Zimbabwe"
)
NAMES: Mapping[str, str] = dict(entry.split(" ", 1) for entry in _TABLE.split("|"))
"""Alpha-2 code in lower case -> English short name. ``xk`` is user-assigned and accepted by Stripe."""
_OTHER_NAMES = {
    "ae": "uae|emirates|vae|dubai|abu dhabi",
    "ag": "antigua",
    "at": "republik osterreich",
    "ba": "bosnia|bosnia herzegovina|bosnien|bosnie|bosnien herzegowina",
    "bf": "upper volta|haute volta",
    "bj": "dahomey",
    "bn": "brunei darussalam",
    "bo": "plurinational state of bolivia",
    "bq": "bonaire sint eustatius and saba|bonaire",
    "by": "byelorussia|weissrussland|weissrusland|bielorussie|white russia",
    "cc": "cocos keeling islands",
    "cd": "democratic republic of congo|democratic republic congo|dr congo|drc|congo kinshasa|zaire|congo drc|"
    "congo democratic republic",
    "cf": "car",
    "cg": "republic of congo|republic congo|congo brazzaville|congo republic",
    "ch": "swiss confederation|schweizerische eidgenossenschaft|confederation suisse|confederazione svizzera|"
    "svizra|confoederatio helvetica",
    "ci": "ivory coast|cote divoire|cote d ivoire|elfenbeinkuste|costa de marfil|costa davorio",
    "cn": "peoples republic of china|pr china|prc|mainland china",
    "cv": "cabo verde",
    "cz": "czechia|czech republic|czech|ceska republika|tschechische republik|republique tcheque|"
    "repubblica ceca|republica checa",
    "de": "federal republic of germany|bundesrepublik deutschland|brd|west germany|east germany|gdr|"
    "german democratic republic|deutsche demokratische republik|westdeutschland|ostdeutschland",
    "es": "kingdom of spain|reino de espana",
    "fk": "falkland islands malvinas|islas malvinas",
    "fm": "federated states of micronesia|fed sts micronesia",
    "fr": "french republic|republique francaise|metropolitan france",
    "gb": "uk|great britain|britain|england|scotland|wales|northern ireland|n ireland|grossbritannien|"
    "gran bretana|gran bretagna|grande bretagne|inglaterra|inghilterra|angleterre|schottland|"
    "united kingdom of great britain and northern ireland|gb eng|gb sct|gb wls|gb nir",
    "gm": "gambia",
    "gr": "hellenic republic|hellas",
    "hk": "hong kong sar|hong kong sar china|hong kong china|hongkong|香港",
    "ie": "republic of ireland|eire|irish republic|southern ireland",
    "il": "state of israel",
    "in": "bharat",
    "ir": "islamic republic of iran|persia",
    "it": "italian republic|repubblica italiana",
    "jp": "nippon|nihon|日本国",
    "kg": "kyrgyz republic",
    "kh": "kampuchea",
    "kn": "saint kitts",
    "kp": "democratic peoples republic of korea|dprk|korea north|n korea|democratic peoples republic korea|"
    "korea democratic peoples republic",
    "kr": "republic of korea|republic korea|korea republic|한국|korea south|rok|s korea",
    "kw": "state of kuwait",
    "la": "lao peoples democratic republic|lao pdr|lao",
    "lk": "ceylon",
    "ly": "libyan arab jamahiriya",
    "mf": "saint martin french part",
    "mk": "former yugoslav republic of macedonia|fyrom|macedonia fyrom|macedonia|fyr macedonia|mazedonien|"
    "macedoine|makedonija|makedonien",
    "mm": "burma|myanmar burma|birma|birmanie|birmania",
    "mo": "macau|macao sar|macao sar china|macau sar|澳門|澳门",
    "mx": "united mexican states|estados unidos mexicanos",
    "nl": "holland|holanda|hollande|olanda|kingdom of netherlands|koninkrijk der nederlanden|netherland",
    "ps": "state of palestine|palestinian territory|occupied palestinian territory|palestinian territories|"
    "west bank|gaza|west bank and gaza|gaza strip",
    "pt": "portuguese republic|republica portuguesa",
    "qa": "state of qatar",
    "ru": "russian federation|russische foderation|rossiya|rossija|россииская федерация|рф",
    "sa": "ksa|السعودية",
    "sh": "saint helena ascension and tristan da cunha",
    "sj": "svalbard",
    "sk": "slovak republic|slovenska republika|slowakische republik|republique slovaque",
    "sr": "surinam",
    "st": "sao tome",
    "sx": "sint maarten dutch part",
    "sy": "syrian arab republic",
    "sz": "swaziland",
    "th": "ประเทศไทย|siam",
    "tl": "east timor",
    "tr": "turkiye|republic of turkiye",
    "tt": "trinidad|tobago",
    "tw": "taiwan province of china|taiwan roc|formosa|臺灣|chinese taipei",
    "tz": "united republic of tanzania|tanganyika|zanzibar",
    "us": "usa|us|us of america|america|amerika|states|united states america|united states of america|us of a|"
    "u s a|u s|us a|united states us|united states usa|ee uu|eeuu|estados unidos de america|"
    "vereinigte staaten von amerika|etats unis damerique|stati uniti damerica|"
    "verenigde staten van amerika|eua|сша|アメリカ|unitedstates",
    "va": "holy see|vatican|holy see vatican city state|vatican city state",
    "vc": "saint vincent",
    "ve": "bolivarian republic of venezuela",
    "vg": "virgin islands british|bvi",
    "vi": "virgin islands us|us virgin islands|virgin islands of united states|united states virgin islands",
    "vn": "viet nam|socialist republic of vietnam",
    "za": "rsa",
    "zw": "rhodesia|southern rhodesia",
}
"""Alpha-2 code -> further names as ``fold_name`` writes them."""
_CODES = (
    # Distinguishing signs of vehicles (UN conventions on road traffic), as they stand before European postal codes.
    "a at|b be|d de|e es|f fr|h hu|i it|l lu|n no|p pt|s se|slo si|"
    # Codes of the International Olympic Committee and of FIFA.
    "alg dz|ang ao|aru aw|ban bd|ber bm|bhu bt|biz bz|bot bw|bul bg|cay ky|cgo cg|crc cr|cro hr|den dk|eng gb|esa sv|"
    "fij fj|gam gm|ger de|gre gr|grn gd|hai ht|hon hn|ina id|iri ir|kuw kw|lat lv|lba ly|les ls|mas my|maw mw|mgl mn|"
    "mri mu|mya mm|nca ni|ned nl|nep np|ngr ng|nir gb|oma om|phi ph|por pt|pur pr|sco gb|sey sc|sri lk|sud sd|sui ch|"
    "tan tz|tpe tw|uru uy|van vu|vie vn|wal gb|zam zm|zim zw"
)
"""Codes besides those of ISO 3166-1, which go first. What may mean two countries to a reader (CHI, MON, FL) is left
out."""
_SHORT_WORDS = {"st": "saint", "rep": "republic", "dem": "democratic"}
_FLAG_A = 0x1F1E6
"""Regional indicator A: two of them are drawn as a flag."""
_FORM_OF_STATE = re.compile(
    r"(?:(?:federal|democratic|peoples|islamic|arab|socialist|cooperative|co operative|hashemite) )*"
    r"(?:republic|rep|kingdom|commonwealth|principality|sultanate|grand duchy|union|federation) (?:of )?(?=.)"
)
MAX_NAME_CHARS = 250
"""A longer text is no name of a country (our choice; the longest ones have 60 characters): it is not looked up."""
_DIGRAPH = re.compile("ae|oe|ue|aa")
"""How German and the Nordic languages write an umlaut where there is none."""
MAX_DIGRAPHS = 4
"""A name with more of them is not tried (our choice): each doubles the spellings to look up."""
_NO_COUNTRY = frozenset({"republic of china", "republic china"})
"""Names that would lose what tells two countries apart without their form of state."""


def fold_name(text: str) -> str:
    """Return a name of a country as it is looked up: without case, accents, punctuation and articles."""
    text = unicodedata.normalize("NFKD", remove_invisible(text)).casefold().replace("&", " and ")
    text = re.sub("[\u0300-\u036f.'\u2019\u2018\u00b4`\u02bc]", "", text)
    spaced = "".join(" " if unicodedata.category(char)[0] in "PZSC" else char for char in text)
    words = [_SHORT_WORDS.get(word, word) for word in spaced.split() if word != "the"]
    return unicodedata.normalize("NFC", " ".join(words))


def find_code(text: str) -> str:
    """Return the alpha-2 code in lower case of a code or name of a country, "" for an unknown one."""
    return _find_code(text) if len(text) <= MAX_NAME_CHARS else ""


@lru_cache(maxsize=4096)
def _find_code(text: str) -> str:
    bare = unicodedata.normalize("NFKC", remove_invisible(text)).strip()
    if len(bare) == 2 and all(_FLAG_A <= ord(char) < _FLAG_A + 26 for char in bare):
        bare = "".join(chr(ord(char) - _FLAG_A + ord("a")) for char in bare)
    if len(bare) <= 3 and (code := _codes().get(bare.casefold())):
        return code
    # Korea, Republic of; Iran (Islamic Republic of)
    name, *form = re.split(r"[,(]", bare, maxsplit=1)
    turned = f"{form[0].rstrip(')')} {name}" if form else ""
    folded = fold_name(bare)
    return _find_name(folded) or _find_name(fold_name(turned)) or _find_transliterated(folded) or _find_parts(bare)


def _find_transliterated(name: str) -> str:
    """Return the country whose name has umlauts that are written as two letters: Oesterreich, Tuerkei."""
    pieces = _DIGRAPH.split(name)
    if not 1 < len(pieces) <= MAX_DIGRAPHS + 1:
        return ""
    digraphs = _DIGRAPH.findall(name)
    found = {
        _find_name("".join(piece + between for piece, between in zip(pieces, (*chosen, ""), strict=True)))
        for chosen in product(*((digraph, digraph[0]) for digraph in digraphs))
    } - {""}
    return found.pop() if len(found) == 1 else ""


def _find_parts(text: str) -> str:
    """Return the country that every part of a text names: ``Germany (DE)``, ``DE-Germany``."""
    parts = [part for part in re.split(r"[()/|,]|\s[-\u2013]\s|(?<=\b[A-Z]{2})-", text) if part.strip()]
    found = {find_code(part) for part in parts} if len(parts) > 1 else set()
    return found.pop() if len(found) == 1 else ""


def _find_name(name: str) -> str:
    if not name or name in _NO_COUNTRY:
        return ""
    if code := _names().get(name):
        return code
    rest = _FORM_OF_STATE.sub("", name, count=1)
    return _names().get(rest, "") if rest != name else ""


@cache
def _codes() -> Mapping[str, str]:
    """Alpha-2 and alpha-3 codes in lower case, and those of ``_CODES``."""
    from wanesync.core.values.country_names import ALPHA_3  # noqa: PLC0415 - read only where a country is mapped

    three = dict(entry.split(" ") for entry in ALPHA_3.split("|"))
    others = dict(entry.split(" ") for entry in _CODES.split("|"))
    return {**others, **{code: code for code in NAMES}, **three}


@cache
def _names() -> Mapping[str, str]:
    """Folded name -> code. The English names and those above count more than those of other languages."""
    from wanesync.core.values.country_names import LOCAL_NAMES  # noqa: PLC0415 - as above

    tables = (
        [line.split("|") for line in LOCAL_NAMES.splitlines()],
        [(code, *names.split("|")) for code, names in _OTHER_NAMES.items()],
        [(code, fold_name(name)) for code, name in NAMES.items()],
    )
    return {name: code for table in tables for code, *names in table for name in names if name}
