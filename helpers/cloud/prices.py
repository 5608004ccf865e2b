"""What an instance costs an hour, and who says so.

Asked in this order: a file of the learner's (``AVATAR_PRICES``), AWS's Pricing API, the course's
own table, and last the table's home region. A price always carries its source; a type that nobody
knows has no price rather than the price 0.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from helpers.cloud.price_table import DATE, HOME, PRICES, Prices
from helpers.errors import SettingsError, fit_to_print
from helpers.strict_json import parse_object

COMPONENTS = {"hosting": "Hosting", "training": "Training", "notebook": "Notebook"}
"""Uses of an instance, and the Pricing API's word for each."""


@dataclass(frozen=True, kw_only=True)
class Price:
    """Dollars an hour of one instance; ``None`` where no source has a price, which ``source``
    then says."""

    instance_type: str
    per_hour: float | None
    source: str

    def __str__(self) -> str:
        if self.per_hour is None:
            return f"no price known for {self.instance_type} ({self.source})"
        return f"{money(self.per_hour)} an hour ({self.source})"


def money(dollars: float | None) -> str:
    """``$1.52``; four decimals where it is less than ten cents; ``$?`` where nobody knows."""
    if dollars is None:
        return "$?"
    # Half a cent rounds up, as people expect of 1.515, which in binary is a little less.
    return f"${dollars:.4f}" if 0 < dollars < 0.1 else f"${dollars + 1e-9:.2f}"


@dataclass(frozen=True, kw_only=True)
class PriceFile:
    """Prices of one's own: ``{"date": "2026-12-01", "prices": {region: {type: dollars}}}``."""

    prices: Prices
    source: str


class PriceBook:
    """The prices of one region; what the API said is kept.

    ``api`` gives a Pricing client, and is not asked again once it has failed.
    """

    def __init__(
        self,
        region: str,
        *,
        own: PriceFile | None = None,
        api: Callable[[], Any] | None = None,
    ) -> None:
        self._region, self._own, self._api = region, own, api
        self._trouble = ""
        self._answers: dict[tuple[str, str], Price | None] = {}

    def price(self, instance_type: str, use: str = "hosting") -> Price:
        """What an hour costs for ``use``: ``hosting``, ``training`` or ``notebook``."""
        if self._own:
            dollars = _look_up(self._own.prices, self._region, instance_type, use)
            if dollars is not None:
                return Price(instance_type=instance_type, per_hour=dollars, source=self._own.source)
        return self._asked(instance_type, use) or self._from_table(instance_type, use)

    def sold(self, instance_type: str, use: str = "hosting") -> bool | None:
        """Whether AWS's price list sells it in this region; ``None`` if it cannot be asked."""
        found = self._asked(instance_type, use)
        return None if self._trouble or not self._api else found is not None

    def _from_table(self, instance_type: str, use: str) -> Price:
        remark = f", not verified{self._trouble}"
        for region, source in (
            (self._region, f"table {DATE}{remark}"),
            (HOME, f"table {DATE} for {HOME}, none for {self._region}{remark}"),
        ):
            dollars = _look_up(PRICES, region, instance_type, use)
            if dollars is not None:
                return Price(instance_type=instance_type, per_hour=dollars, source=source)
        return Price(
            instance_type=instance_type,
            per_hour=None,
            source=f"not in table {DATE}{self._trouble}; AVATAR_PRICES can name a file that has it",
        )

    def _asked(self, instance_type: str, use: str) -> Price | None:
        key = instance_type, use
        if self._api and not self._trouble and key not in self._answers:
            try:
                self._answers[key] = _ask(self._api(), self._region, instance_type, use)
            except (BotoCoreError, ClientError, ResponseParserError) as trouble:
                error = getattr(trouble, "response", {}).get("Error", {})
                said = error.get("Code", type(trouble).__name__)
                self._trouble = f"; the Pricing API did not answer: {said}"
        return self._answers.get(key)


def read_price_file(path: Path) -> PriceFile:
    """Prices of one's own. Raises ``SettingsError`` when it is no such file."""
    try:
        content = parse_object(path.read_bytes())
        prices, date = content["prices"], str(content["date"])
        numbers = [
            number
            for types in prices.values()
            for given in types.values()
            for number in (given.values() if isinstance(given, dict) else [given])
        ]
        if not all(_is_price(number) for number in numbers):
            raise ValueError("a price is a number of dollars, 0 or more")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as trouble:
        said = getattr(trouble, "strerror", None) or trouble  # without the path, which is private
        raise SettingsError(
            f"AVATAR_PRICES names {path.name}, which holds no prices",
            f"{type(trouble).__name__}: {fit_to_print(said, 200)}",
            'write {"date": "2026-12-01", "prices": {"us-east-1": {"ml.g5.xlarge": 1.41}}}',
        ) from None
    return PriceFile(prices=prices, source=f"your file {path.name}, {date}")


def _is_price(number: object) -> bool:
    real = isinstance(number, (int, float)) and not isinstance(number, bool)
    return real and math.isfinite(number) and number >= 0  # type: ignore[arg-type, operator]


def _look_up(prices: Prices, region: str, instance_type: str, use: str) -> float | None:
    given = prices.get(region, {}).get(instance_type)
    return given if isinstance(given, (int, float)) or given is None else given.get(use)


def _ask(client: Any, region: str, instance_type: str, use: str) -> Price | None:
    """The price of the Pricing API, or ``None`` where it lists no such instance."""
    wanted = {"instanceName": instance_type, "regionCode": region, "component": COMPONENTS[use]}
    answer = client.get_products(
        ServiceCode="AmazonSageMaker",
        Filters=[
            {"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in wanted.items()
        ],
        FormatVersion="aws_v1",
        MaxResults=20,
    )
    for text in answer["PriceList"]:
        offer = json.loads(text) if isinstance(text, str) else text
        attributes = offer["product"]["attributes"]
        dollars = _on_demand(offer)
        if dollars is not None and wanted.items() <= attributes.items():
            return Price(instance_type=instance_type, per_hour=dollars, source=_source(offer))
    return None


def _on_demand(offer: dict[str, Any]) -> float | None:
    """Dollars an hour on demand; entries of 0 dollars are AWS's placeholders."""
    for term in offer.get("terms", {}).get("OnDemand", {}).values():
        for dimension in term["priceDimensions"].values():
            dollars = float(dimension["pricePerUnit"].get("USD", 0))
            if dimension["unit"] == "Hrs" and dollars > 0:
                return dollars
    return None


def _source(offer: dict[str, Any]) -> str:
    if str(offer.get("version", "")).startswith("local"):
        return f"table {DATE}, not verified, through the local Pricing API"
    return f"Pricing API {str(offer.get('publicationDate', ''))[:10]}".strip()
