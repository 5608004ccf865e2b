"""The template as a stack of it would be: parameters filled in, conditions decided."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from cfnlint.decode.cfn_yaml import load

from helpers.settings import ROOT

TEMPLATE = ROOT / "infrastructure" / "avatar-course.yaml"
ACCOUNT, REGION = "123456789012", "us-east-1"
_PSEUDO = {"AWS::AccountId": ACCOUNT, "AWS::Partition": "aws", "AWS::Region": REGION}
_ARNS = {
    "AWS::S3::Bucket": "arn:aws:s3:::{name}",
    "AWS::IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/{{name}}",
    "AWS::ECR::Repository": f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{{name}}",
    "AWS::CodeBuild::Project": f"arn:aws:codebuild:{REGION}:{ACCOUNT}:project/{{name}}",
    "AWS::Logs::LogGroup": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{{name}}:*",
    "AWS::Lambda::Function": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{{name}}",
    "AWS::Events::Rule": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{{name}}",
}
_NAMES = ("BucketName", "RoleName", "RepositoryName", "LogGroupName", "FunctionName", "Name")
_NOTHING = object()


@cache
def template(path: Path = TEMPLATE) -> dict[str, Any]:
    return load(str(path))


class Stack:
    """The resources that exist for these parameters, with every function resolved."""

    def __init__(self, **parameters: object) -> None:
        self._template = template()
        given = {"Learner": "ada", "Email": "ada@example.com", **parameters}
        unknown = set(given) - set(self._template["Parameters"])
        assert not unknown, unknown
        self.parameters = {
            name: given.get(name, spec.get("Default"))
            for name, spec in self._template["Parameters"].items()
        }
        self.resources: dict[str, dict[str, Any]] = {
            name: self.resolve(resource["Properties"])
            for name, resource in self._template["Resources"].items()
            if "Condition" not in resource or self._holds(resource["Condition"])
        }
        self.outputs: dict[str, str] = {
            name: self.resolve(output["Value"])
            for name, output in self._template["Outputs"].items()
            if "Condition" not in output or self._holds(output["Condition"])
        }

    def type_of(self, name: str) -> str:
        return self._template["Resources"][name]["Type"]

    def statements(self, name: str) -> list[dict[str, Any]]:
        """Every statement of a managed policy, or of a role with what is attached to it."""
        found = self.resources[name]
        if "PolicyDocument" in found:
            return found["PolicyDocument"]["Statement"]
        inline = [one["PolicyDocument"]["Statement"] for one in found.get("Policies", [])]
        attached = [self.statements(policy) for policy in found.get("ManagedPolicyArns", [])]
        return [statement for part in (*inline, *attached) for statement in part]

    def resolve(self, value: Any) -> Any:
        if isinstance(value, dict):
            if len(value) == 1:
                ((function, given),) = value.items()
                if function == "Ref" or function.startswith("Fn::"):
                    return self._call(function.removeprefix("Fn::"), given)
            resolved = {key: self.resolve(inner) for key, inner in value.items()}
            return {key: inner for key, inner in resolved.items() if inner is not _NOTHING}
        if isinstance(value, list):
            return [inner for one in value if (inner := self.resolve(one)) is not _NOTHING]
        return value

    def _call(self, function: str, given: Any) -> Any:
        if function == "Ref":
            return self._ref(given)
        if function == "GetAtt":
            name, attribute = given if isinstance(given, list) else given.split(".")
            assert attribute == "Arn", given
            return self._arn(name)
        if function == "Sub":
            return re.sub(r"\$\{([\w:.]+)\}", lambda match: str(self._named(match[1])), given)
        if function == "If":
            condition, yes, no = given
            return self.resolve(yes if self._holds(condition) else no)
        raise AssertionError(f"the tests do not know Fn::{function}")

    def _named(self, name: str) -> Any:
        return self._arn(name.removesuffix(".Arn")) if name.endswith(".Arn") else self._ref(name)

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NOTHING
        if name in _PSEUDO or name in self.parameters:
            return _PSEUDO.get(name, self.parameters.get(name))
        return self._name_of(name) or name

    def _arn(self, name: str) -> str:
        return _ARNS[self.type_of(name)].format(name=self._name_of(name))

    def _name_of(self, resource: str) -> str:
        properties = self._template["Resources"][resource]["Properties"]
        return next((self.resolve(properties[key]) for key in _NAMES if key in properties), "")

    def _holds(self, condition: Any) -> bool:
        if isinstance(condition, str):
            return self._holds(self._template["Conditions"][condition])
        ((function, given),) = condition.items()
        if function == "Condition":
            return self._holds(given)
        if function == "Fn::Equals":
            return self.resolve(given[0]) == self.resolve(given[1])
        if function == "Fn::Not":
            return not self._holds(given[0])
        assert function == "Fn::And", function
        return all(self._holds(one) for one in given)


def actions(statements: list[dict[str, Any]]) -> set[str]:
    return {action for statement in statements for action in as_list(statement["Action"])}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
