"""Service Quotas, answered locally: AWS's names, pages, codes of refusal, and what they hold."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from helpers.cloud.endpoints import deploy_async, wait_in_service
from helpers.cloud.images import djl_image
from helpers.cloud.session import Cloud, open_cloud
from helpers.errors import QuotaError
from helpers.local.context import Context
from helpers.local.journal import Journal
from helpers.local.quotas import MOST_INSTANCES, TOTAL, Quotas
from helpers.local.wire import Refusal
from helpers.settings import Settings
from tests.local.conftest import Deploy, model_archive

BIG = "ml.g5.4xlarge for endpoint usage"


@pytest.fixture
def own_cloud(settings: Settings) -> Cloud:
    """Requests take a second or two to be decided: time enough to look."""
    return open_cloud(dataclasses.replace(settings, fast=False))


def refusal(call: Any, **asked: object) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        call(**asked)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


def listed(cloud: Cloud, operation: str = "list_service_quotas", **asked: Any) -> dict[str, Any]:
    pages = cloud.client("service-quotas").get_paginator(operation)
    return {
        quota["QuotaName"]: quota
        for page in pages.paginate(ServiceCode="sagemaker", **asked)
        for quota in page["Quotas"]
    }


def test_quotas_come_in_pages_and_by_name(cloud: Cloud) -> None:
    quotas, service = listed(cloud), cloud.client("service-quotas")
    assert len(quotas) > 500
    first = service.list_service_quotas(ServiceCode="sagemaker", MaxResults=7)
    assert len(first["Quotas"]) == 7 and first["NextToken"]
    assert listed(cloud, PaginationConfig={"PageSize": 37}) == quotas
    assert quotas[BIG]["Value"] == 0 and quotas[BIG]["Adjustable"]
    code = quotas[BIG]["QuotaCode"]
    one = service.get_service_quota(ServiceCode="sagemaker", QuotaCode=code)["Quota"]
    assert one == quotas[BIG]
    only = service.list_service_quotas(ServiceCode="sagemaker", QuotaCode=code)["Quotas"]
    assert only == [one]


def test_defaults_are_those_of_a_young_account(cloud: Cloud) -> None:
    service, applied = cloud.client("service-quotas"), listed(cloud)
    defaults = listed(cloud, "list_aws_default_service_quotas")
    name = "ml.g5.2xlarge for endpoint usage"
    assert defaults[name]["Value"] == 0 < applied[name]["Value"], "the course has been granted it"
    assert defaults["ml.m5.large for training job usage"]["Value"] > 0
    assert defaults.keys() == applied.keys()
    assert not any(known.startswith("ml.p2.") for known in applied), "not offered any more"
    code = defaults[name]["QuotaCode"]
    found = service.get_aws_default_service_quota(ServiceCode="sagemaker", QuotaCode=code)
    assert found["Quota"] == defaults[name]


def test_refusals_carry_awss_codes(cloud: Cloud) -> None:
    service, quotas = cloud.client("service-quotas"), listed(cloud)
    code = quotas[BIG]["QuotaCode"]
    fixed = quotas["Maximum payload size for endpoint invocation"]["QuotaCode"]
    here, ask = {"ServiceCode": "sagemaker"}, service.request_service_quota_increase
    for call, asked, expected in (
        (service.list_service_quotas, {"ServiceCode": "ec2"}, "NoSuchResourceException"),
        (service.get_service_quota, {**here, "QuotaCode": "L-0"}, "NoSuchResourceException"),
        (
            service.list_service_quotas,
            {**here, "NextToken": "bWFkZSB1cA=="},
            "InvalidPaginationTokenException",
        ),
        (service.list_service_quotas, {**here, "MaxResults": 101}, "IllegalArgumentException"),
        (ask, {**here, "QuotaCode": code, "DesiredValue": 0.0}, "IllegalArgumentException"),
        (ask, {**here, "QuotaCode": fixed, "DesiredValue": 9.0}, "InvalidResourceStateException"),
        (
            service.get_requested_service_quota_change,
            {"RequestId": "nobody"},
            "NoSuchResourceException",
        ),
    ):
        assert refusal(call, **asked)[0] == expected
    assert refusal(service.list_services)[0] == "UnknownOperationException"


def test_a_request_is_pending_then_decided_and_the_value_follows(own_cloud: Cloud) -> None:
    service, quotas = own_cloud.client("service-quotas"), listed(own_cloud)
    here = {"ServiceCode": "sagemaker", "QuotaCode": quotas[BIG]["QuotaCode"]}
    made = service.request_service_quota_increase(**here, DesiredValue=2.0)["RequestedQuota"]
    assert (made["Status"], made["DesiredValue"], made["QuotaName"]) == ("PENDING", 2, BIG)
    code, said = refusal(service.request_service_quota_increase, **here, DesiredValue=3.0)
    assert code == "ResourceAlreadyExistsException" and "Only one open" in said
    seen: dict[str, float] = {}
    until = time.monotonic() + 10
    while "APPROVED" not in seen and time.monotonic() < until:
        value = service.get_service_quota(**here)["Quota"]["Value"]
        asked = service.get_requested_service_quota_change(RequestId=made["Id"])["RequestedQuota"]
        seen.setdefault(asked["Status"], value)
        time.sleep(0.02)
    assert list(seen)[-1] == "APPROVED"
    assert seen["PENDING"] == 0 and service.get_service_quota(**here)["Quota"]["Value"] == 2
    too_many = service.request_service_quota_increase(**here, DesiredValue=MOST_INSTANCES + 1.0)
    time.sleep(2.5)
    history = service.list_requested_service_quota_change_history_by_quota(**here)
    assert [one["Status"] for one in history["RequestedQuotas"]] == ["DENIED", "APPROVED"]
    assert history["RequestedQuotas"][0]["Id"] == too_many["RequestedQuota"]["Id"]
    granted = service.list_requested_service_quota_change_history(Status="APPROVED")
    assert [one["Id"] for one in granted["RequestedQuotas"]] == [made["Id"]]
    assert service.get_service_quota(**here)["Quota"]["Value"] == 2


def test_an_endpoint_beyond_its_quota_is_refused_in_awss_words_and_leaves_nothing(
    own_cloud: Cloud, tmp_path: Path
) -> None:
    ledger = own_cloud.ledger()
    asked: dict[str, Any] = {
        "name": "big", "image": djl_image(own_cloud.region), "model_data": model_archive(tmp_path),
    }  # fmt: skip
    with pytest.raises(QuotaError, match="Notebook 00") as refused:
        deploy_async(own_cloud, ledger, **asked, instance_type="ml.g5.4xlarge")
    assert (
        "The account-level service limit 'ml.g5.4xlarge for endpoint usage' is 0 Instances, with "
        "current utilization of 0 Instances and a request delta of 1 Instances. Please use AWS "
        "Service Quotas to request an increase for this quota."
    ) in str(refused.value)
    sagemaker = own_cloud.client("sagemaker")
    left = [*sagemaker.list_models()["Models"],
            *sagemaker.list_endpoint_configs()["EndpointConfigs"]]  # fmt: skip
    assert left == [] and not {e.kind for e in ledger.open()} & {"model", "endpoint-config"}
    with pytest.raises(QuotaError, match=r"is 4 Instances.* a request delta of 5"):
        deploy_async(own_cloud, ledger, **asked, instance_type="ml.g4dn.xlarge", instance_count=5)
    deploy_async(own_cloud, ledger, **asked, instance_type="ml.g5.xlarge")
    wait_in_service(own_cloud, "big")


def test_growing_and_replacing_need_a_quota_too(cloud: Cloud, deploy: Deploy) -> None:
    sagemaker, endpoint = cloud.client("sagemaker"), deploy()
    more = [{"VariantName": "AllTraffic", "DesiredInstanceCount": MOST_INSTANCES + 1}]
    code, said = refusal(
        sagemaker.update_endpoint_weights_and_capacities,
        EndpointName=endpoint, DesiredWeightsAndCapacities=more,
    )  # fmt: skip
    assert code == "ResourceLimitExceeded" and f"is {MOST_INSTANCES} Instances" in said
    config = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint)
    for name, kind, count in (("wide", "ml.g5.xlarge", 99), ("zero", "ml.g6.xlarge", 1)):
        variant = {**config["ProductionVariants"][0], "InstanceType": kind,
                   "InitialInstanceCount": count}  # fmt: skip
        sagemaker.create_endpoint_config(
            EndpointConfigName=name, ProductionVariants=[variant],
            AsyncInferenceConfig=config["AsyncInferenceConfig"],
        )  # fmt: skip
        code, said = refusal(
            sagemaker.update_endpoint, EndpointName=endpoint, EndpointConfigName=name
        )
        assert code == "ResourceLimitExceeded" and f"'{kind} for endpoint usage'" in said
    found = sagemaker.describe_endpoint(EndpointName=endpoint)
    assert found["EndpointStatus"] == "InService", "a refused change changes nothing"
    weight = [{"VariantName": "AllTraffic", "DesiredWeight": 2.0}]
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=endpoint, DesiredWeightsAndCapacities=weight
    )
    wait_in_service(cloud, endpoint)
    variant = sagemaker.describe_endpoint(EndpointName=endpoint)["ProductionVariants"][0]
    assert (variant["CurrentInstanceCount"], variant["CurrentWeight"]) == (1, 2.0)


def test_all_endpoints_together_have_a_quota() -> None:
    # Who asks does not matter to what is allowed.
    quotas = Quotas(cast(Context, SimpleNamespace(journal=Journal())))
    used = Counter({"ml.g5.xlarge": 10, "ml.g5.2xlarge": 4, "ml.g4dn.xlarge": 4})
    quotas.check_endpoints(Counter({"ml.m5.large": 2}), used)
    with pytest.raises(Refusal, match=f"'{TOTAL}' is 20 .* utilization of 18 "):
        quotas.check_endpoints(Counter({"ml.m5.large": 3}), used)
    quotas.check_endpoints(Counter(), used + used)
