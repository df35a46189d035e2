"""The currencies the stand-in takes: zero- and three-decimal ones included; amounts are in minor units."""

from __future__ import annotations

from dataclasses import dataclass

from wanesync.sandbox.stripe.form import Tree
from wanesync.sandbox.stripe.refusals import Refusal, refuse_empty

# docs.stripe.com/currencies: presentment currencies.
CODES = frozenset(
    (
        "usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp byn bzd "
        "cad cdf chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd "
        "hkd hnl hrk htg huf idr ils inr isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt lak lbp lkr lrd lsl "
        "mad mdl mga mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd omr pab pen pgk php pkr "
        "pln pyg qar ron rsd rub rwf sar sbd scr sek sgd shp sle sos srd std szl thb tjs tnd top try ttd twd "
        "tzs uah ugx uyu uzs vnd vuv wst xaf xcd xof xpf yer zar zmw"
    ).split()
)


@dataclass(frozen=True, slots=True)
class Currency:
    """A three-letter code, read in lower case."""

    def read(self, value: Tree, name: str) -> object:
        """Raises Refusal for a code Stripe does not know."""
        if value == "":
            raise refuse_empty(name)
        if not isinstance(value, str) or value.lower() not in CODES:
            text = f"Invalid currency: {value}. Stripe currently supports these currencies: {', '.join(sorted(CODES))}"
            raise Refusal(400, text, param=name)
        return value.lower()


CURRENCY = Currency()
