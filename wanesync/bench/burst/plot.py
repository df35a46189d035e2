"""A plot of the burst: latency over arrival with the theoretical bound, as plain SVG without a library."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

from wanesync.bench.burst.results import Span
from wanesync.bench.burst.run import WITHIN_S, BurstResult, bound_latency_late_s, bound_latency_s

WIDTH, HEIGHT = 860, 460
LEFT, RIGHT, TOP, BOTTOM = 56, 20, 46, 44
MAX_DOTS = 2_500
FIRST_COME = "contacts, first come first served"
COLOURS = {"contacts": "#2563eb", "customers": "#d97706", "purchases": "#16a34a", FIRST_COME: "#c4b5fd"}


@dataclass(frozen=True, slots=True)
class _Scale:
    """Converts seconds to points."""

    arrived_s: float
    took_s: float

    def x(self, arrived_s: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * arrived_s / self.arrived_s

    def y(self, took_s: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(took_s, self.took_s) / self.took_s


def draw(measured: BurstResult, first_come: BurstResult | None = None) -> str:
    """Draw the result as an SVG document; ``first_come``: that of the same burst in the order of arrival."""
    load, limits = measured.load, measured.limits
    last_bound = bound_latency_s(load, limits, load.seconds)
    spans = [*measured.contacts, *(first_come.contacts if first_come else ())]
    longest = max([last_bound, WITHIN_S, *(span.took_s for span in spans)]) * 1.05
    scale = _Scale(load.seconds, longest)
    kinds = {"contacts": measured.contacts, "customers": measured.customers, "purchases": measured.purchases}
    title = f"{load.contacts:,} contacts in {load.seconds:g} s, Stripe {limits.stripe}/s, HubSpot {limits.hubspot}/s"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"',
        '     font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="15">{escape(title)}</text>',
        *_grid(scale),
        *(_dots(scale, first_come.contacts, COLOURS[FIRST_COME]) if first_come else ()),
        *(dot for name, spans in kinds.items() for dot in _dots(scale, spans, COLOURS[name])),
        _line(scale, (0, 0), (load.seconds, last_bound), "black", dashed=True),
        *_bounds_by_deadline(scale, measured),
        _line(scale, (0, WITHIN_S), (load.seconds, WITHIN_S), "#dc2626", dashed=True),
        *_legend(with_first_come=first_come is not None),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _grid(scale: _Scale) -> Iterable[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for tick in _ticks(scale.took_s):
        y = scale.y(tick)
        yield f'<path d="M{LEFT} {y:.1f}H{right}" stroke="#e5e7eb"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>'
    for tick in _ticks(scale.arrived_s):
        yield f'<text x="{scale.x(tick):.1f}" y="{bottom + 16}" text-anchor="middle">{tick:g}</text>'
    yield f'<path d="M{LEFT} {TOP}V{bottom}H{right}" fill="none" stroke="#374151"/>'
    yield f'<text x="{(LEFT + right) / 2:.0f}" y="{HEIGHT - 8}" text-anchor="middle">arrival (s after the first)</text>'
    middle = (TOP + bottom) / 2
    yield f'<text transform="translate(14 {middle:.0f}) rotate(-90)" text-anchor="middle">latency (s)</text>'


def _ticks(longest: float) -> list[float]:
    step = next(size for size in (0.5, 1, 2, 5, 10, 20, 50, 100, 500, 10_000) if longest / size <= 10)
    return [step * number for number in range(int(longest / step) + 1)]


def _dots(scale: _Scale, spans: list[Span], colour: str) -> Iterable[str]:
    """At most 2,500 dots, evenly selected."""
    for span in spans[:: max(1, -(-len(spans) // MAX_DOTS))]:
        yield f'<circle cx="{scale.x(span.arrived_s):.1f}" cy="{scale.y(span.took_s):.1f}" r="1.6" fill="{colour}"/>'


def _line(
    scale: _Scale, start: tuple[float, float], end: tuple[float, float], colour: str, *, dashed: bool = False
) -> str:
    (x1, y1), (x2, y2) = ((scale.x(x), scale.y(y)) for x, y in (start, end))
    dash = ' stroke-dasharray="6 4"' if dashed else ""
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{colour}" stroke-width="1.5"{dash}/>'


def _bounds_by_deadline(scale: _Scale, measured: BurstResult) -> Iterable[str]:
    """The least latencies of those who can be in time, and of those who cannot."""
    load, limits = measured.load, measured.limits
    last_s = load.seconds
    slope = load.contacts / load.seconds / limits.stripe - 1
    if slope * last_s <= WITHIN_S:
        yield _line(scale, (0, 0), (last_s, max(0.0, slope) * last_s), "black")
        return
    first_late_s = WITHIN_S / slope
    yield _line(scale, (0, 0), (first_late_s, WITHIN_S), "black")
    yield _line(scale, (first_late_s, WITHIN_S), (last_s, WITHIN_S), "black")
    late = [(at_s, bound_latency_late_s(load, limits, at_s)) for at_s in (first_late_s, last_s)]
    yield _line(scale, late[0], late[1], "black")


def _legend(*, with_first_come: bool) -> Iterable[str]:
    names = {**COLOURS, "bound": "black", "30 s": "#dc2626"}
    x = LEFT
    for name, colour in names.items():
        if name == FIRST_COME and not with_first_come:
            continue
        yield f'<circle cx="{x + 4}" cy="34" r="4" fill="{colour}"/><text x="{x + 12}" y="38">{escape(name)}</text>'
        x += 30 + 7 * len(name)
