"""The audit log in the browser."""

from __future__ import annotations

import re

from tests.support.admin import AdminSite
from wanesync.admin.pages.audit import PAGE_ROWS
from wanesync.core.operating.operators import Operator, Via


def test_rows_are_filtered_and_paged(admin: AdminSite) -> None:
    boss = admin.sign_in("admin", "boss")
    with admin.store.transaction() as tx:
        for number in range(PAGE_ROWS + 5):
            tx.audit.add(Operator("ben", Via.API), "limit.change", f"scope{number}", {"rate": number}, None)
    page = boss.get("/audit?operator=ben").text
    assert page.count("<td>limit.change</td>") == PAGE_ROWS
    older = re.search(r'href="(/audit\?[^"]*below[^"]*)"', page)
    assert older
    assert boss.get(older[1].replace("&amp;", "&")).text.count("<td>limit.change</td>") == 5
    assert "No change fits" in boss.get("/audit?subject=nothing").text
    assert boss.get("/audit?subject=scope3").text.count("<td>limit.change</td>") == 1
    assert boss.get("/audit?below=x").status_code == 422


def test_the_page_checks_the_log(admin: AdminSite) -> None:
    assert "intact" in admin.sign_in("admin").get("/audit?verify=true").text


def test_a_name_from_outside_is_escaped(admin: AdminSite) -> None:
    with admin.store.transaction() as tx:
        tx.audit.add(Operator("<script>", Via.CLI), "a", "<img src=x>", {"x": "</td><script>"}, None)
    text = admin.sign_in("admin").get("/audit").text
    assert "<script>" not in re.sub(r"<script [^>]*nonce[^>]*>", "", text)
    assert "<img" not in text
