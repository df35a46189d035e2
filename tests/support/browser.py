"""A real Chromium for the tests of the admin pages: what the console says, what the policy stops, what axe finds."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, Request, sync_playwright

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",  # as root there is none
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
]
AXE = Path(__file__).parent / "axe" / "axe-4.14.1.min.js.gz"
DESKTOP, PHONE = 1280, 390
WIDTHS = {"desktop": DESKTOP, "phone": PHONE}
Scheme = Literal["light", "dark"]
SCHEMES: Sequence[Scheme] = ("light", "dark")
WAIT_MS = 10_000
SERIOUS = {"serious", "critical"}
# A violation is also printed to the console, but one of a report-only policy or of a worker is not.
_COUNT_VIOLATIONS = """
addEventListener('securitypolicyviolation', (event) => {
  (window.policyViolations ??= []).push(`${event.violatedDirective}: ${event.blockedURI || 'inline'}`);
});
"""


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start Chromium without a window; its own driver and process end with the block."""
    if not Path(CHROMIUM).exists():
        raise FileNotFoundError("chromium is missing: make chromium, or apt-get install chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule of axe that elements break: its impact, and the first of them as selector and source."""

    rule: str
    impact: str
    help: str
    places: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.impact} {self.rule} ({self.help}): " + " | ".join(self.places)


class Visit:
    """One visitor's window on the pages at ``url``. ``trouble`` collects what no page may do.

    That is an error or warning of the console, an exception of a script, a violation of the content security policy, a
    dialog of a script, and any request to another place.
    """

    def __init__(self, browser: Browser, url: str, width: int = DESKTOP, scheme: Scheme = "light") -> None:
        self.url = url
        self.trouble: list[str] = []
        self.context: BrowserContext = browser.new_context(
            base_url=url,
            color_scheme=scheme,
            viewport={"width": width, "height": 844 if width == PHONE else 900},
            reduced_motion="reduce",
            has_touch=width == PHONE,
        )
        self.context.set_default_timeout(WAIT_MS)
        self.context.add_init_script(_COUNT_VIOLATIONS)
        self.page: Page = self.context.new_page()
        self.page.on("console", self._note_console)
        self.page.on("pageerror", lambda error: self.trouble.append(f"exception: {error}"))
        self.page.on("dialog", self._note_dialog)
        self.page.on("request", self._note_request)

    def resize(self, width: int, scheme: Scheme) -> None:
        """Change the width of the window and the colour scheme of the system; the session stays."""
        self.page.set_viewport_size({"width": width, "height": 844 if width == PHONE else 900})
        self.page.emulate_media(color_scheme=scheme)

    def go(self, path: str) -> int:
        """Open a page; its status."""
        answer = self.page.goto(path, wait_until="domcontentloaded")
        assert answer is not None
        return answer.status

    def check(self) -> list[str]:
        """Return what no page may do, of the pages since the last call."""
        violations = self.page.evaluate("window.policyViolations?.splice(0) ?? []")
        found = [*self.trouble, *(f"content security policy: {one}" for one in violations)]
        self.trouble.clear()
        return found

    def find_barriers(self, *rules: str) -> list[Finding]:
        """Run the rules of axe (WCAG 2.2 A and AA, best practices), or some of them; serious and critical findings."""
        # Through the debugger: the policy of the page forbids a script element of ours.
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(gzip.decompress(AXE.read_bytes()).decode() + "; null")
        options = {"resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})}
        answer = self.page.evaluate("(o) => axe.run(document, o).then((r) => JSON.stringify(r.violations))", options)
        return [
            Finding(
                one["id"],
                one["impact"],
                one["help"],
                tuple(f"{node['target']} {node['html'][:160]}" for node in one["nodes"][:3]),
            )
            for one in json.loads(answer)
            if one["impact"] in SERIOUS
        ]

    def find_overflow(self) -> int:
        """Return by how many pixels the page is wider than the window; 0 where nothing scrolls sideways."""
        found: int = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return max(0, found)

    def reach_by_keyboard(self, most: int = 400) -> set[str]:
        """Press Tab through the whole page; the elements that had the focus, as ``tag#id[name] words-or-address``."""
        self.page.evaluate("document.activeElement?.blur?.()")
        seen: list[str] = []
        for _ in range(most):
            self.page.keyboard.press("Tab")
            found = self.page.evaluate(_DESCRIBE_FOCUS)
            if found is None or (seen and found == seen[0]):
                break
            seen.append(found)
        return set(seen)

    def list_actions(self) -> set[str]:
        """Return every visible link, button and control of the page, described as in ``reach_by_keyboard``."""
        found: list[str] = self.page.evaluate(_LIST_ACTIONS)
        return set(found)

    def close(self) -> None:
        """Close the window and forget the session."""
        self.context.close()

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning", "assert"}:
            self.trouble.append(f"console {message.type}: {message.text}")

    def _note_dialog(self, dialog: Dialog) -> None:
        # A question before an action is ours; it is answered with yes.
        if dialog.type == "confirm":
            dialog.accept()
            return
        self.trouble.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _note_request(self, request: Request) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.trouble.append(f"request to another place: {request.url}")


_DESCRIBE = """
const describe = (element) => {
  const parts = [element.tagName.toLowerCase(), element.id && `#${element.id}`, element.name && `[${element.name}]`];
  const path = element.getAttribute('href') || '';
  // What a live page shows changes: only what has neither a name nor an address is known by its words.
  const words = element.getAttribute('aria-label') || element.innerText || element.value || '';
  const text = path || element.id || element.name ? '' : words.replace(/[^a-z ]+/gi, '').trim().slice(0, 60);
  return `${parts.filter(Boolean).join('')} ${text}${path}`;
};
"""
_DESCRIBE_FOCUS = (
    "() => {"
    + _DESCRIBE
    + "const at = document.activeElement; return !at || at === document.body ? null : describe(at); }"
)
# A radio button is reached through its group, which has one stop.
_LIST_ACTIONS = (
    "() => {"
    + _DESCRIBE
    + """
  const wanted = 'a[href], button, input:not([type=hidden]):not([type=radio]), select, textarea, summary';
  return [...document.querySelectorAll(wanted)]
    .filter((e) => !e.disabled && e.checkVisibility({visibilityProperty: true}) && !e.closest('dialog:not([open])'))
    .map(describe);
}"""
)
