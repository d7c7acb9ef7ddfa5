"""The sandbox as one object: books, misfortunes and deliveries, and the turns that change them."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from .chaos import Chaos, Rates
from .delivery import Deliverer, Patience
from .ids import Mint, account_chars, random_text
from .settings import Settings
from .store import Store
from .turn import Cause, Turn
from .view import View


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
        self.deliverer = Deliverer(
            self.store,
            url=settings.webhook_url,
            secret=settings.webhook_secret.reveal(),
            now_s=now_s,
            patience=patience or Patience(),
        )
        self.api_faults: deque[ApiFault] = deque()
        self.chaos = self._remembered_chaos()

    @contextmanager
    def turn(self, cause: Cause | None = None) -> Iterator[Turn]:
        """One unit of work: kept and told to the world at its end, or undone by an exception."""
        turn = Turn(self.store, self.view, self.mint, self.chaos, self.now_s(), cause or Cause())
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
