"""What is compared of each table and what is not, and one wrong row for each."""

from __future__ import annotations

from typing import NamedTuple

LEFT_OUT = {
    "*": {"created_at"},
    "checkout_session": {"paid_at"},
    "orders": {"completed_at"},
    "balance": {"updated_at", "below_zero"},
    "ledger_transaction": {"id", "posted_at"},
    "ledger_posting": {"transaction_id"},
    "state_transition": {"at"},
    "outbox_effect": {
        "id", "state", "attempts", "next_attempt_at",
        "under_way", "last_error", "event_id", "finished_at", "made_id",
    },
    "webhook_event": {
        "received_at", "event_type", "object_id", "psp_created", "body_sha256", "attempts",
        "next_attempt_at", "last_error", "applied_at", "conflict",
    },
}  # fmt: skip
"""Columns by table: times and numbers of our own, what the receiver writes, what follows from another
column, what no event decides.
"""


class Plant(NamedTuple):
    """A statement that spoils one row and returns its key, the column that is named, what is said of it."""

    statement: str
    column: str | None
    values: str


PLANTED: dict[str, Plant] = {
    "checkout_session": Plant(
        "UPDATE checkout_session SET credits = credits + 1 WHERE account_id = 'a_top' RETURNING source, id",
        "credits",
        "live 251, rebuilt 250",
    ),
    "orders": Plant(
        "UPDATE orders SET status = 'completed' RETURNING source, id",
        "status",
        "live 'completed', rebuilt 'refunded'",
    ),
    "license": Plant(
        "UPDATE license SET status = 'active' WHERE product = 'book' RETURNING source, order_id, product",
        "status",
        "live 'active', rebuilt 'revoked'",
    ),
    "seller_transfer": Plant(
        "UPDATE seller_transfer SET amount_minor = 701 RETURNING source, id",
        "amount_minor",
        "live 701, rebuilt 700",
    ),
    "refund": Plant(
        "UPDATE refund SET owner_id = 'x' WHERE status = 'failed' RETURNING source, id",
        "owner_id",
        "live a str of 1 characters",
    ),
    "dispute": Plant(
        "UPDATE dispute SET funds_reinstated = true RETURNING source, id",
        "funds_reinstated",
        "live True, rebuilt False",
    ),
    "subscription": Plant(
        "UPDATE subscription SET version = 9 WHERE origin = 'ours' RETURNING source, id", "version", "live 9"
    ),
    "subscription_invoice": Plant(
        "UPDATE subscription_invoice SET versions = '[]' WHERE origin = 'psp' RETURNING source, id",
        "versions",
        "live a str of 2 characters",
    ),
    "account": Plant(
        "DELETE FROM account WHERE id = 'a_off' RETURNING id", None, "live no such row, rebuilt a row"
    ),
    "balance": Plant(
        "UPDATE balance SET amount = amount + 1 WHERE account_id = 'a_top' RETURNING account_id, unit",
        "amount",
        "live ",
    ),
    "ledger_transaction": Plant(
        """UPDATE ledger_transaction SET log_id = 1 WHERE id = (SELECT min(id) FROM ledger_transaction)
           RETURNING source, money_object, movement, moved_at""",
        "log_id",
        "live 1",
    ),
    "ledger_posting": Plant(
        """UPDATE ledger_posting p SET amount = 3 FROM ledger_transaction t
           WHERE t.id = p.transaction_id AND p.account_id = 'a_off' AND t.movement = 'topup'
           RETURNING t.source, t.money_object, t.movement, t.moved_at, p.account_id, p.unit""",
        "amount",
        "live 3, rebuilt 250",
    ),
    "state_transition": Plant(
        """UPDATE state_transition SET rule = 'planted' WHERE kind = 'dispute' AND seq = 2
           RETURNING kind, object_id, source, seq""",
        "rule",
        "live 'planted'",
    ),
    "outbox_effect": Plant(
        """UPDATE outbox_effect SET object_id = 'x' WHERE id = (SELECT min(id) FROM outbox_effect)
           RETURNING source, idempotency_key""",
        "object_id",
        "live a str of 1 characters",
    ),
    "webhook_event": Plant(
        """UPDATE webhook_event SET state = 'ignored', reason = 'planted'
           WHERE event_type = 'transfer.created' RETURNING source, event_id""",
        "state",
        "live 'ignored', rebuilt 'applied'",
    ),
}
