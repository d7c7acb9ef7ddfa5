"""The sandbox as one object: books, misfortunes and deliveries, and the turns that change them."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from .chaos import Chaos, Rates
from .delivery import Deliverer, Patience
from .errors import StripeError
from .hyperswitch.letters import voice_of
from .ids import Mint, account_chars, random_text
from .records import Transfer
from .settings import Settings
from .store import Store
from .turn import Cause, Turn
from .versions import api_version
from .view import View
from .voice import HYPERSWITCH, STRIPE, StripeVoice, Voice


@dataclass(slots=True)
class ApiFault:
    """A scripted misfortune of the API: `times` requests whose path begins with `path` meet it.

    `status` answers without doing anything; `drop_before` and `drop_after` close the connection before or
    after the work is done, so that the caller cannot know.
    """

    kind: str
    path: str
    times: int
    status: int = 500


FAULT_KINDS = ("status", "drop_before", "drop_after")


class Desk:
    """One sandbox in one process. `now_s` tells unix seconds; tests give their own."""

    def __init__(
        self, settings: Settings, *, now_s: Callable[[], int], patience: Patience | None = None
    ) -> None:
        self.settings = settings
        self.now_s = now_s
        self.store = Store(settings.directory / "sandbox.sqlite3")
        account = self.store.setting("account")
        if account is None:
            account = random_text(account_chars)
            self.store.run("put_setting", name="account", value=account)
        self.mint = Mint(account)
        self.account_id = f"acct_1Sand{account}"
        self.view = View(self.store, f"http://{settings.host}:{settings.port}")
        secret = settings.webhook_secret.reveal()
        voices: dict[str, Voice] = {STRIPE: StripeVoice(settings.webhook_url, secret, patience or Patience())}
        if settings.hyperswitch is not None:
            voices[HYPERSWITCH] = voice_of(settings.hyperswitch)
        self.deliverer = Deliverer(self.store, voices, now_s=now_s)
        self.api_faults: deque[ApiFault] = deque()
        self._reversals_refused = Counter[str]()
        self.events_version = self.store.setting("events_version") or api_version
        self.chaos = self._remembered_chaos()

    @contextmanager
    def turn(self, cause: Cause | None = None) -> Iterator[Turn]:
        """One unit of work: kept and told to the world at its end, or undone by an exception."""
        turn = Turn(
            self.store,
            self.view,
            self.mint,
            self.chaos,
            self.now_s(),
            cause or Cause(),
            events_version=self.events_version,
        )
        with self.store.transaction():
            yield turn
        self.deliverer.accept(turn.events)

    def set_chaos(self, seed: int, rates: Rates) -> Chaos:
        """From the next event on, misfortunes follow this seed; its numbers count from 0."""
        with self.store.transaction():
            from_seq = int(self.store.rows("last_event_seq")[0]["seq"])
            self.chaos = Chaos(seed, rates, from_seq)
            self.store.run("put_setting", name="chaos", value=json.dumps(asdict(self.chaos)))
        return self.chaos

    def set_events_version(self, version: str) -> None:
        """From the next event on, bodies are written in this version's shape; what exists stays as it is."""
        self.store.run("put_setting", name="events_version", value=version)
        self.events_version = version

    def refuse_reversal(self, transfer_id: str) -> None:
        """Raises StripeError 429 or 500 where chaos has that in store for this transfer. Neither has begun to
        work, so neither is saved under an idempotency key: the same request may succeed the next time.
        """
        transfer = self.store.get(Transfer, transfer_id)
        if transfer is None:
            return
        refusals = self.chaos.reversal_refusals(transfer.chaos_number)
        met = self._reversals_refused[transfer.id]
        if met >= len(refusals):
            return
        self._reversals_refused[transfer.id] += 1
        if refusals[met] == 429:
            raise StripeError("Too many requests hit the API too quickly.", status=429, code="rate_limit")
        raise StripeError("An unexpected error occurred.", status=500, kind="api_error")

    def _remembered_chaos(self) -> Chaos:
        text = self.store.setting("chaos")
        if text is None:
            return Chaos()
        saved: dict[str, Any] = json.loads(text)
        return Chaos(saved["seed"], Rates(**saved["rates"]), saved["from_seq"])

    def fault_for(self, path: str) -> ApiFault | None:
        """The fault that this request meets, counted down."""
        for fault in self.api_faults:
            if path.startswith(fault.path):
                fault.times -= 1
                if fault.times <= 0:
                    self.api_faults.remove(fault)
                return fault
        return None
