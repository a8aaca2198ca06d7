"""A process that spends from a ledger until it is refused, and says after each charge that it was granted.

usage: python -m tests.privacy.spender URL NAME EPSILON
"""

from __future__ import annotations

import sys

from mercury.errors import BudgetExceededError
from mercury.privacy.accounting import Loss, exact
from mercury.privacy.ledger import Ledger
from tests.privacy.people import policy


def main() -> None:
    """Charge until the budget is used up."""
    url, name, epsilon = sys.argv[1:]
    ledger, loss = Ledger(url), Loss(exact(float(epsilon)))
    number = 0
    while True:
        try:
            ledger.charge(policy(), name, f"{name}/{number}", loss)
        except BudgetExceededError:
            return
        print(f"{name}/{number}", flush=True)
        number += 1


if __name__ == "__main__":
    main()
