"""`python -m api.dev activate-and-provision`: three accounts with money and a card each, for developers only.

Safe to run again and at the same time: what is there stays. It prints ids and last digits, never a token.
"""

from __future__ import annotations

import asyncio
import sys

from api.app import DEV_ENVIRONMENTS
from db import cards, pool
from db.cards import SeedCard
from runtime import clock, settings
from runtime.settings import Settings, refuse_to_start

COMMAND = "activate-and-provision"
_ACCOUNTS = 3
_AMOUNT_MINOR = 100_000_000
"""A million US dollars in cents."""
_CARD_YEARS = 3


def seeds(year: int, month: int) -> list[SeedCard]:
    """The accounts as they shall be, made in this month; pure."""
    return [
        SeedCard(
            account_id=f"acct_user{number}",
            unit="usd",
            amount_minor=_AMOUNT_MINOR,
            cardholder_name=f"Test User{number}",
            last4=str(1000 + number),
            exp_month=month,
            exp_year=year + _CARD_YEARS,
        )
        for number in range(1, _ACCOUNTS + 1)
    ]


async def activate_and_provision(configuration: Settings) -> list[str]:
    """Make what is missing; a line per card. Raises one of `db.pool.WORLD_IS_BUSY` without a database."""
    today = clock.now()
    wanted = seeds(today.year, today.month)
    # As the login itself, like a migration: no process's role may give money away.
    connection = await pool.connect(configuration.database_url, None, "sluice-dev")
    try:
        made = await cards.seed(connection, wanted)
    finally:
        await connection.close()
    return [
        f"{each.account_id}  card {card_id}  last4 {last4}"
        for each, (card_id, last4) in zip(wanted, made, strict=True)
    ]


def main() -> int:
    """Run the command of the command line; exit 64 when it is no command, 78 outside of development."""
    if sys.argv[1:] != [COMMAND]:
        sys.stderr.write(f"usage: python -m api.dev {COMMAND}\n")
        return 64
    configuration = settings.load_or_exit()
    if configuration.app_env not in DEV_ENVIRONMENTS or not configuration.dev_endpoints_enabled:
        refuse_to_start([f"{COMMAND} needs APP_ENV dev or test, and DEV_ENDPOINTS_ENABLED"])
    try:
        lines = asyncio.run(activate_and_provision(configuration))
    except pool.WORLD_IS_BUSY as error:
        sys.stderr.write(f"the database does not answer: {type(error).__name__}\n")
        return 1
    except pool.REFUSED as error:
        sys.stderr.write(
            f"the database refuses: {type(error).__name__}; is it migrated, and may this login write?\n"
        )
        return 1
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
