"""Private answers: bounded per person, charged to a durable ledger, with exact noise.

    release = ask(policy, settings, aggregates={"flights": Count()}, by=["origin"], analyst="ann")
    release.table                      # origin, flights, flights_error
    release.remaining                  # what is left of the budget

The guarantee is (epsilon, delta)-differential privacy for adding or removing all rows of one unit, over everything that
was ever released of a dataset. See `mercury.privacy.aggregate` for what is computed, `mercury.privacy.ledger` for what
is kept.
"""

from mercury.privacy.accounting import Loss
from mercury.privacy.gate import Release, ask, ledger_of
from mercury.privacy.ledger import Charge, Ledger
from mercury.privacy.plan import PrivatePlan, make_plan

__all__ = ["Charge", "Ledger", "Loss", "PrivatePlan", "Release", "ask", "ledger_of", "make_plan"]
