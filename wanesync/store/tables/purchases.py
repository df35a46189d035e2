"""The ledger of purchases: one row per payment (docs/correctness.md#purchases)."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import orjson

from wanesync.core.ids import bound
from wanesync.core.jobs import WaitCode
from wanesync.core.purchases import Purchase, PurchaseState, Sink
from wanesync.store.codec import pack
from wanesync.store.session import Row, Table

PurchaseRows = list[Purchase]
PaymentIds = list[str]


class Purchases(Table):
    """The table ``purchases``."""

    __slots__ = ()

    def put(self, purchase: Purchase) -> bool:
        """Stores a payment; False if it is stored already."""
        return bool(self.put_many([purchase]))

    def put_many(self, purchases: Iterable[Purchase]) -> set[str]:
        """Stores the payments that are not known yet; returns their ids."""
        batch = [self._pack(purchase) for purchase in sorted(purchases, key=lambda purchase: purchase.payment_id)]
        return {row[0] for row in self._session.each("add_purchase", batch)}

    def _pack(self, purchase: Purchase) -> dict[str, str | int | bytes]:
        data = pack(
            {
                "email": purchase.email,
                "description": purchase.description,
                "amount": purchase.amount,
                "currency": bound(purchase.currency),
            }
        )
        return {
            "payment_id": purchase.payment_id,
            "charge_id": bound(purchase.charge_id),
            "customer_id": bound(purchase.customer_id),
            "hmac": purchase.hmac,
            "occurred_ms": purchase.occurred_ms,
            "data": self._session.encryption.encrypt(data, "purchases", purchase.payment_id, "data"),
            "sink": purchase.sink or "",
            "state": purchase.state,
            "contact_id": purchase.contact_id,
            "waits_for": purchase.waits_for,
            "reason": purchase.reason,
            "created_ms": purchase.created_ms or self._session.now_ms,
        }

    def get_many(self, payment_ids: Collection[str]) -> dict[str, Purchase]:
        """Payment id -> payment; unknown ones are left out."""
        rows = self._session.rows("get_purchases", ids=payment_ids) if payment_ids else []
        return {row[0]: self._purchase(row) for row in rows}

    def of_payment(self, payment_or_charge_id: str) -> PurchaseRows:
        """Payments with this id, or with a charge of this id."""
        return [self._purchase(row) for row in self._session.rows("purchases_of_payment", id=payment_or_charge_id)]

    def of_people(self, contact_ids: Collection[str], customer_ids: Collection[str], limit: int) -> PurchaseRows:
        """The newest payments that are assigned to contacts or wait for the contact of customers, oldest first."""
        people = {"contacts": contact_ids or [""], "customers": customer_ids or [""]}
        rows = self._session.rows("purchases_of_people", limit=limit, **people)
        return [self._purchase(row) for row in reversed(rows)]

    def lock_many(self, payment_ids: Collection[str]) -> dict[str, Purchase]:
        """``get_many``, for payments that are changed next: no merge moves them before this transaction ends."""
        rows = self._session.rows("lock_purchases", ids=payment_ids) if payment_ids else []
        return {row[0]: self._purchase(row) for row in rows}

    def waiting_for(self, customer_ids: Collection[str]) -> PaymentIds:
        """Payments that wait for the link of a customer, the oldest first, with those looked at for the first time.

        On Postgres another transaction may just be giving one of these up, because it does not see the link.
        """
        if not customer_ids:
            return []
        return [row[0] for row in self._session.rows("purchases_waiting_for", ids=customer_ids)]

    def waiting_for_hmacs(self, hmacs: Collection[str]) -> PaymentIds:
        """Payments that wait for a contact with an address, the oldest first."""
        if not hmacs:
            return []
        return [row[0] for row in self._session.rows("purchases_waiting_for_hmacs", hmacs=hmacs)]

    def waiting_near(self, hmacs: Collection[str]) -> PaymentIds:
        """Payments that wait for a contact with an address of theirs or of their customer, as of ``waiting_for``."""
        return [row[0] for row in self._session.rows("purchases_waiting_near", hmacs=hmacs)] if hmacs else []

    def waiting_for_code(self, waits_for: WaitCode, before_ms: int, limit: int) -> PaymentIds:
        """Waiting payments with this code that were stored before a time, the oldest first."""
        rows = self._session.rows("purchases_waiting_for_code", waits_for=waits_for, before_ms=before_ms, limit=limit)
        return [row[0] for row in rows]

    def todo_of(self, contact_ids: Collection[str]) -> PaymentIds:
        """Payments assigned to contacts and not sent yet, given up or not, the oldest first."""
        return [row[0] for row in self._session.rows("purchases_todo_of", ids=contact_ids)] if contact_ids else []

    def set_state(  # noqa: PLR0913 - the columns it sets
        self,
        payment_id: str,
        state: PurchaseState,
        *,
        contact_id: str | None = None,
        sink: Sink | None = None,
        reason: str = "",
        waits_for: WaitCode = WaitCode.NONE,
        reopens: bool = False,
    ) -> None:
        """Changes the state of a payment, and contact and sink if they are given ("": no contact any more).

        ``reopens``: also of one that is sent, which otherwise stays as it is.
        """
        values: dict[str, str | int] = {"state": state, "contact_id": contact_id or "", "sink": sink or ""}
        values |= {"waits_for": waits_for, "reason": reason, "keep": int(contact_id is None), "reopens": int(reopens)}
        self._session.rows("set_purchase_state", id=payment_id, **values)

    def move(self, contact_id: str, into: str) -> str:
        """Assigns the payments of a merged contact to its survivor; the newest rolled-up one, "" without one."""
        rows = self._session.rows("move_purchases", contact_id=contact_id, into=into)
        sent = [
            (at_ms, payment_id)
            for payment_id, at_ms, sink, state in rows
            if (sink, state) == (Sink.PROPERTIES, PurchaseState.SENT)
        ]
        return max(sent, default=(0, ""))[1]

    def counts(self) -> dict[str, int]:
        """Number of payments per state."""
        return {state.value: 0 for state in PurchaseState} | dict(self._session.rows("count_purchases"))

    def count_of_accounts(self, since_ms: int = 0) -> int:
        """Number of payments stored since a time that reached no contact because an account of Accounts v2 paid."""
        row = self._session.row("count_account_purchases", since_ms=since_ms)
        return int(row[0]) if row else 0

    def of_contact(self, contact_id: str) -> PurchaseRows:
        """Every payment assigned to a contact, in order of time."""
        return [self._purchase(row) for row in self._session.rows("purchases_of_contact", contact_id=contact_id)]

    def _purchase(self, row: Row) -> Purchase:
        payment_id, charge_id, customer_id, hmac, occurred_ms, blob, *rest = row
        sink, state, contact_id, waits_for, reason, created_ms = rest
        data = orjson.loads(self._session.encryption.decrypt(blob, "purchases", payment_id, "data"))
        return Purchase(
            payment_id=payment_id,
            charge_id=charge_id,
            customer_id=customer_id,
            email=data["email"],
            hmac=hmac,
            amount=data["amount"],
            currency=data["currency"],
            occurred_ms=occurred_ms,
            description=data["description"],
            sink=Sink(sink) if sink else None,
            state=PurchaseState(state),
            contact_id=contact_id,
            waits_for=WaitCode(waits_for),
            reason=reason,
            created_ms=created_ms,
        )
