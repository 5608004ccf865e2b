"""AWS's Pricing API for the local SageMaker: the course's own table in the API's product JSON.

No source of prices: it is there so that the code that reads AWS's answers runs here as well. Each
product's ``version`` says ``local``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from typing import Any

from helpers.cloud.instances import INSTANCES
from helpers.cloud.price_table import DATE, PRICES
from helpers.local.store import cut
from helpers.local.wire import Call, Refusal, perform

Members = dict[str, Any]

_ON_DEMAND, _PER_HOUR = "JRTCKXETXF", "6YS6EN2CT7"
_PLACES = {  # location, and how usage types begin there
    "us-east-1": ("US East (N. Virginia)", "USE1"),
    "us-east-2": ("US East (Ohio)", "USE2"),
    "us-west-2": ("US West (Oregon)", "USW2"),
    "eu-west-1": ("EU (Ireland)", "EU"),
    "eu-central-1": ("EU (Frankfurt)", "EUC1"),
    "ap-northeast-1": ("Asia Pacific (Tokyo)", "APN1"),
}
_COMPONENTS = {"Hosting": "Host", "Training": "Train", "Notebook": "Notebk"}
_MATCH: dict[str, Callable[[str, str], bool]] = {
    "TERM_MATCH": lambda held, wanted: held.lower() == wanted.lower(),
    "EQUALS": lambda held, wanted: held == wanted,
    "CONTAINS": lambda held, wanted: wanted in held,
    "ANY_OF": lambda held, wanted: held in wanted.split(","),
    "NONE_OF": lambda held, wanted: held not in wanted.split(","),
}


class Pricing:
    """Answers ``GetProducts`` for SageMaker's instances."""

    def answer(self, call: Call) -> Members:
        """Do what a Pricing call asks. Raises ``Refusal``."""
        return perform(self, call)

    def _get_products(self, asked: Members) -> Members:
        if asked["ServiceCode"] != "AmazonSageMaker":
            raise Refusal("NotFoundException", "The local Pricing API knows SageMaker's prices.")
        found = [
            product
            for product in products()
            if all(_fits(product["product"], wanted) for wanted in asked.get("Filters", []))
        ]
        page, token = cut(found, asked, usual=100, fault="InvalidNextTokenException")
        return {
            "FormatVersion": "aws_v1",
            "PriceList": [json.dumps(product) for product in page],
            "NextToken": token,
        }


def _fits(product: Members, wanted: Members) -> bool:
    fields = {"productFamily": product["productFamily"], **product["attributes"]}
    held = fields.get(wanted["Field"])
    return held is not None and _MATCH[wanted["Type"]](held, wanted["Value"])


@cache
def products() -> list[Members]:
    """Every instance of the table, in every region and use that it has a price for."""
    return [
        _product(region, instance_type, component, dollars)
        for region, prices in PRICES.items()
        for instance_type, given in prices.items()
        for component in _COMPONENTS
        if (
            dollars := given.get(component.lower())
            if not isinstance(given, (int, float))
            else given
        )
    ]


def _product(region: str, instance_type: str, component: str, dollars: float) -> Members:
    location, prefix = _PLACES[region]
    instance = INSTANCES[instance_type]
    usage = f"{prefix}-{_COMPONENTS[component]}:{instance_type}"
    sku = sha256(usage.encode()).hexdigest()[:16].upper()
    published = f"{DATE}-01T00:00:00Z"
    words = f"${dollars:.4f} per {component} {instance_type} hour in {location}"
    dimension = {
        "unit": "Hrs",
        "beginRange": "0",
        "endRange": "Inf",
        "description": words,
        "appliesTo": [],
        "rateCode": f"{sku}.{_ON_DEMAND}.{_PER_HOUR}",
        "pricePerUnit": {"USD": f"{dollars:.10f}"},
    }
    term = {
        "priceDimensions": {dimension["rateCode"]: dimension},
        "sku": sku,
        "effectiveDate": published,
        "offerTermCode": _ON_DEMAND,
        "termAttributes": {},
    }
    attributes = {
        "servicecode": "AmazonSageMaker",
        "servicename": "Amazon SageMaker",
        "location": location,
        "locationType": "AWS Region",
        "regionCode": region,
        "instanceName": instance_type,
        "instanceType": f"{instance_type}-{component}",
        "platoinstancename": instance_type,
        "platoinstancetype": component,
        "component": component,
        "vCpu": str(instance.vcpus),
        "memory": f"{instance.memory:g} GiB",
        "gpu": "1" if instance.gpu else "0",
        "usagetype": usage,
        "operation": "RunInstance",
    }
    return {
        "product": {"productFamily": "ML Instance", "attributes": attributes, "sku": sku},
        "serviceCode": "AmazonSageMaker",
        "terms": {"OnDemand": {f"{sku}.{_ON_DEMAND}": term}},
        "version": "local",
        "publicationDate": published,
    }
