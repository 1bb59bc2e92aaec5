"""Prices: what a token costs, and so what a migration does."""

import datetime
import importlib.resources
import tomllib
from dataclasses import dataclass

from config.settings import Settings
from reembed import errors
from reembed.database.bills import Bill
from reembed.database.ledger import Migration
from reembed.database.limits import Budget


class NoPrice(errors.Usage):
    """Nobody knows what {model} costs, so that no budget can be kept.

    Set EMBED_PRICE_PER_MILLION_TOKENS to what its provider asks, in US dollars.
    """


@dataclass(frozen=True)
class Price:
    """US dollars for a million tokens, and the day it was looked up; None where the operator set it."""

    dollars: float
    as_of: datetime.date | None

    def of(self, tokens: int) -> float:
        return tokens * self.dollars / 1e6

    def __str__(self) -> str:
        as_of = f", list price of {self.as_of}" if self.as_of else ""
        return f"{self.dollars} a million tokens{as_of}"


def price(model: str, override: float | None) -> Price | None:
    """The operator's price, else the list's; None for a model that it does not have."""
    if override is not None:
        return Price(override, None)
    text = importlib.resources.files(__package__).joinpath("prices.toml").read_text(encoding="utf-8")
    prices = tomllib.loads(text)
    dollars = prices["dollars_per_million_tokens"].get(model)
    return None if dollars is None else Price(dollars, prices["as_of"])


def of_the_new_model(settings: Settings) -> Price | None:
    return price(settings.embed_model, settings.embed_price_per_million_tokens)


def budget(usd: float, settings: Settings) -> Budget:
    """What so many US dollars buy of the new model. Raises NoPrice, also for one that costs nothing."""
    of_a_million = of_the_new_model(settings)
    if of_a_million is None or not of_a_million.dollars:
        raise NoPrice(model=settings.embed_model)
    # More than anybody embeds is no limit, and fits into the ledger
    return Budget(usd, min(int(usd / of_a_million.dollars * 1e6), 2**62))


@dataclass(frozen=True)
class Prices:
    """Of both models of a migration; None: nobody knows."""

    new: Price | None
    old: Price | None

    @classmethod
    def of(cls, settings: Settings, migration: Migration) -> "Prices":
        """The operator's price is that of EMBED_MODEL, and no other model's."""
        new, old = migration.new_model.name, migration.old_model
        return cls(
            of_the_new_model(settings) if new == settings.embed_model else price(new, None),
            price(old.name, None) if old else None,
        )

    def cost(self, bill: Bill) -> float | None:
        """US dollars; None where a price is missing, or the provider does not say what it bills."""
        if self.new is None or bill.untold or (bill.old and self.old is None):
            return None
        return self.new.of(bill.new - bill.saved) + (self.old.of(bill.old) if self.old else 0.0)


UNKNOWN = Prices(None, None)
