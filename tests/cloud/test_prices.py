"""Prices: who says so, in which order, and never a silent zero."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st

from helpers.cloud.instances import INSTANCES, has_gpu
from helpers.cloud.price_table import HOME, PRICES
from helpers.cloud.prices import PriceBook, money, read_price_file
from helpers.cloud.session import Cloud
from helpers.errors import SettingsError
from helpers.local.wire import service_model
from helpers.settings import Settings


class Client:
    """A Pricing API with the answer that a test gives it."""

    def __init__(self, *answers: Any, trouble: Exception | None = None) -> None:
        self.answers, self.trouble, self.calls = answers, trouble, 0

    def get_products(self, **_: object) -> dict[str, Any]:
        self.calls += 1
        if self.trouble:
            raise self.trouble
        return {"PriceList": [json.dumps(answer) for answer in self.answers]}


def offer(dollars: str = "1.5", unit: str = "Hrs", **attributes: str) -> dict[str, Any]:
    held = {"instanceName": "ml.g5.xlarge", "regionCode": "eu-west-3", "component": "Hosting"}
    dimension = {"unit": unit, "pricePerUnit": {"USD": dollars}}
    return {
        "product": {"attributes": {**held, **attributes}},
        "terms": {"OnDemand": {"a": {"priceDimensions": {"b": dimension}}}},
        "publicationDate": "2026-11-19T08:00:00Z",
        "version": "20261119",
    }


def test_every_instance_of_the_table_exists_and_has_a_price_at_home() -> None:
    known = set(service_model("sagemaker").shape_for("ProductionVariantInstanceType").enum)
    notebooks = set(service_model("sagemaker").shape_for("InstanceType").enum)
    assert set(INSTANCES) <= known | notebooks
    assert set(PRICES[HOME]) == set(INSTANCES)
    for instance in INSTANCES.values():
        assert bool(instance.gpu) == bool(instance.gpu_memory) == has_gpu(instance.type)
    assert not INSTANCES["ml.p3.2xlarge"].cuda_13 and INSTANCES["ml.p3.2xlarge"].multi_model
    assert INSTANCES["ml.g6.xlarge"].cuda_13 and not INSTANCES["ml.g6.xlarge"].multi_model
    assert not INSTANCES["ml.m5.xlarge"].multi_model


def test_a_region_without_prices_says_whose_it_shows() -> None:
    at_home, away = PriceBook(HOME), PriceBook("eu-north-1")
    assert away.price("ml.g5.xlarge").per_hour == at_home.price("ml.g5.xlarge").per_hour
    assert f"for {HOME}, none for eu-north-1" in away.price("ml.g5.xlarge").source
    assert PriceBook("eu-west-1").price("ml.g5.xlarge").per_hour > 1.408
    assert "not verified" in at_home.price("ml.g5.xlarge").source


@given(st.text(max_size=20).map(lambda text: f"ml.{text}"))
def test_what_nobody_knows_has_no_price_and_says_so(instance_type: str) -> None:
    price = PriceBook(HOME).price(instance_type)
    if instance_type in PRICES[HOME]:
        assert price.per_hour
    else:
        assert price.per_hour is None and str(price).startswith("no price known")
    assert "$0" not in str(price)


def test_the_api_is_asked_once_and_named_with_its_date() -> None:
    client = Client(offer("0"), offer("2", component="Training"), offer("9", unit="Quantity"),
                    offer("1.5"))  # fmt: skip
    book = PriceBook("eu-west-3", api=lambda: client)
    assert str(book.price("ml.g5.xlarge")) == "$1.50 an hour (Pricing API 2026-11-19)"
    assert book.price("ml.g5.xlarge").per_hour == 1.5 and client.calls == 1
    assert book.sold("ml.g5.xlarge") is True
    assert book.sold("ml.g5.48xlarge") is False


@pytest.mark.parametrize(
    "trouble",
    [
        ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetProducts"),
        EndpointConnectionError(endpoint_url="https://api.pricing"),
    ],
)
def test_an_api_that_does_not_answer_is_named_and_not_asked_again(trouble: Exception) -> None:
    client = Client(trouble=trouble)
    book = PriceBook(HOME, api=lambda: client)
    for instance_type in ("ml.g5.xlarge", "ml.g5.2xlarge"):
        price = book.price(instance_type)
        assert price.per_hour == PRICES[HOME][instance_type]
        assert "the Pricing API did not answer" in price.source
    assert client.calls == 1
    assert book.sold("ml.g5.xlarge") is None, "nobody knows"


def test_ones_own_file_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    prices = {"us-east-1": {"ml.g5.xlarge": {"hosting": 0.5}, "ml.new.large": 3}}
    path.write_text(json.dumps({"date": "2027-01-01", "prices": prices}))
    book = PriceBook(HOME, own=read_price_file(path), api=lambda: Client(offer()))
    assert str(book.price("ml.g5.xlarge")) == "$0.50 an hour (your file mine.json, 2027-01-01)"
    assert book.price("ml.new.large", "training").per_hour == 3
    assert book.price("ml.g5.xlarge", "training").per_hour == 1.408, "the file says no more"


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", '{"date": "d", "prices": 3}', '{"date": "d", "prices": {"r": {"t": "1"}}}',
        '{"date": "d", "prices": {"r": {"t": -1}}}', '{"date": "d", "prices": {"r": {"t": NaN}}}',
        '{"date": "d", "prices": {"r": {"t": true}}}', '{"prices": {}}',
    ],
)  # fmt: skip
def test_a_file_that_holds_no_prices_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "prices.json"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"prices\.json"):
        read_price_file(path)


def test_the_settings_lead_to_the_file(cloud: Cloud, tmp_path: Path) -> None:
    missing = Settings(prices=tmp_path / "none.json", state=cloud.settings.state)
    mine = Cloud(settings=missing, session=cloud.session, account="", region=HOME, bucket="",
                 role_arn="")  # fmt: skip
    with pytest.raises(SettingsError, match="AVATAR_PRICES"):
        _ = mine.prices


def test_the_local_api_answers_in_awss_form_and_says_that_it_is_no_source(cloud: Cloud) -> None:
    for instance_type, dollars in PRICES[cloud.region].items():
        price = cloud.prices.price(instance_type, "training")
        assert price.per_hour == dollars
        assert "local Pricing API" in price.source and "not verified" in price.source
    products = cloud.client("pricing").get_products(
        ServiceCode="AmazonSageMaker",
        Filters=[{"Type": "TERM_MATCH", "Field": "instanceName", "Value": "ml.g5.xlarge"},
                 {"Type": "TERM_MATCH", "Field": "regionCode", "Value": "eu-west-1"}],
    )["PriceList"]  # fmt: skip
    found = {json.loads(text)["product"]["attributes"]["usagetype"] for text in products}
    assert found == {f"EU-{use}:ml.g5.xlarge" for use in ("Host", "Train", "Notebk")}
    with pytest.raises(ClientError) as refused:
        cloud.client("pricing").get_products(ServiceCode="AmazonEC2")
    assert refused.value.response["Error"]["Code"] == "NotFoundException"


@given(st.floats(min_value=0.1, max_value=10_000).map(lambda dollars: round(dollars, 4)))
def test_money_is_dollars_and_cents(dollars: float) -> None:
    shown = money(dollars)
    assert shown.startswith("$") and len(shown.partition(".")[2]) == 2
    assert math.isclose(float(shown[1:]), dollars, abs_tol=0.0051)


def test_money_that_is_small_or_not_known() -> None:
    assert [money(x) for x in (None, 0.0, 0.0312, 1.515)] == ["$?", "$0.00", "$0.0312", "$1.52"]
