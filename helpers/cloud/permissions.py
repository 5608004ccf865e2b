"""Every AWS operation that the course calls, and what IAM must allow for it.

One table, from which come docs/permissions.md and the tests of infrastructure/avatar-course.yaml. A
test reads the source for calls and fails until this table and the code name the same operations.
"""

from __future__ import annotations

from collections.abc import Mapping

from helpers.cloud.iam import Permission, rows

LEARNER, CONTAINER, OWNER, SWEEPER = "learner", "container", "owner", "sweeper"
CALLERS = {
    LEARNER: "The notebooks, `demo` and `clean`, as the learner",
    CONTAINER: "Our code in SageMaker's containers, as the execution role",
    SWEEPER: "The template's function that ends forgotten endpoints",
    OWNER: "In an account of one's own, without the template",
}
"""Who calls. What the owner needs beyond the learner is in no policy: the template's stack has made
those things already, and a learner in it neither makes nor removes them."""

_LOOK, _END, _FIND = "what is there", "clean-up", "clean-up finds what the ledger lost"
_UPLOAD = "PutObject {Bucket}/{Key}"
_COPY = f"GetObject {{CopySource}}, {_UPLOAD}"  # as botocore writes it: bucket/key

PERMISSIONS: tuple[Permission, ...] = (
    *rows(
        LEARNER,
        "sts",
        ("GetCallerIdentity", "*", "which account and role this is; IAM never refuses it"),
    ),
    *rows(
        LEARNER,
        "iam",
        ("GetRole", "role/{RoleName}", "the execution role's ARN, where none is set"),
    ),
    *rows(
        LEARNER,
        "s3",
        ("ListObjectsV2", "ListBucket {Bucket}", "the bucket is there, and what lies in it"),
        ("ListObjectVersions", "ListBucketVersions {Bucket}", "clean-up leaves no old version"),
        ("ListMultipartUploads", "ListBucketMultipartUploads {Bucket}", "uploads that never ended"),
        ("HeadObject", "GetObject {Bucket}/{Key}", "has a job ended"),
        ("GetObject", "{Bucket}/{Key}", "results, and adapters to publish"),
        ("PutObject", "{Bucket}/{Key}", "photos, model archives, avatars"),
        ("CreateMultipartUpload", _UPLOAD, "large files"),
        ("UploadPart", _UPLOAD, "large files"),
        ("CopyObject", _COPY, "a base beside the code of an endpoint"),
        ("UploadPartCopy", _COPY, "a base beside the code of an endpoint"),
        ("CompleteMultipartUpload", _UPLOAD, "large files"),
        ("AbortMultipartUpload", "{Bucket}/{Key}", "an upload that failed or was given up"),
        (
            "DeleteObjects",
            "DeleteObject {Bucket}/{Delete.Objects[].Key}, "
            "DeleteObjectVersion {Bucket}/{Delete.Objects[].Key}",
            _END,
        ),
        ("GetBucketTagging", "{Bucket}", "whether the course made the bucket"),
    ),
    *rows(
        OWNER,
        "s3",
        ("CreateBucket", "{Bucket}, TagResource {Bucket}", "the bucket, if there is none"),
        ("DeleteBucket", "{Bucket}", "clean-up, when the course made it and it is empty"),
    ),
    *rows(
        OWNER,
        "ecr",
        (
            "CreateRepository",
            "repository/{repositoryName}, TagResource repository/{repositoryName}",
            "where the serving image lies",
        ),
        ("PutLifecyclePolicy", "repository/{repositoryName}", "it keeps three images"),
        ("DeleteRepository", "repository/{repositoryName}", _END),
    ),
    *rows(
        OWNER,
        "codebuild",
        (
            "CreateProject",
            "project/{name}, iam:PassRole {serviceRole}",
            "what builds the serving image, with a role of CodeBuild's",
        ),
        ("StopBuild", "project/{id|stem}", "a build that runs is stopped before its project goes"),
        ("DeleteProject", "project/{name}", _END),
    ),
    *rows(
        CONTAINER,
        "s3",
        ("GetObject", "{Bucket}/{Key}", "the base, where it does not come with the archive"),
        ("PutObject", "{Bucket}/{Key}", "the trainer leaves an adapter in staging"),
    ),
    *rows(
        LEARNER,
        "sagemaker",
        (
            "CreateModel",
            "model/{ModelName}, AddTags model/{ModelName}, iam:PassRole {ExecutionRoleArn}",
            "deploy",
        ),
        (
            "CreateEndpointConfig",
            "endpoint-config/{EndpointConfigName}, AddTags endpoint-config/{EndpointConfigName}",
            "deploy",
        ),
        (
            "CreateEndpoint",
            "endpoint/{EndpointName}, CreateEndpoint endpoint-config/{EndpointConfigName}, "
            "AddTags endpoint/{EndpointName}",
            "deploy",
        ),
        (
            "UpdateEndpoint",
            "endpoint/{EndpointName}, UpdateEndpoint endpoint-config/{EndpointConfigName}",
            "new instances, which have forgotten an avatar",
        ),
        (
            "UpdateEndpointWeightsAndCapacities",
            "endpoint/{EndpointName}",
            "put an endpoint to sleep; auto scaling asks for it of who registers a target",
        ),
        (
            "CreateTrainingJob",
            "training-job/{TrainingJobName}, AddTags training-job/{TrainingJobName}, "
            "iam:PassRole {RoleArn}",
            "fine-tune as a job",
        ),
        ("AddTags", "{ResourceArn}", "move an endpoint's expiry"),
        ("ListTags", "{ResourceArn}", "read an endpoint's expiry"),
        ("DescribeEndpoint", "endpoint/{EndpointName}", _LOOK),
        ("DescribeEndpointConfig", "endpoint-config/{EndpointConfigName}", _LOOK),
        ("DescribeModel", "model/{ModelName}", _LOOK),
        ("DescribeTrainingJob", "training-job/{TrainingJobName}", _LOOK),
        ("ListEndpoints", "*", _FIND),
        ("ListEndpointConfigs", "*", _FIND),
        ("ListModels", "*", _FIND),
        ("ListTrainingJobs", "*", _FIND),
        ("ListNotebookInstances", "*", "instances in use, which count against a quota"),
        ("DeleteEndpoint", "endpoint/{EndpointName}", _END),
        ("DeleteEndpointConfig", "endpoint-config/{EndpointConfigName}", _END),
        ("DeleteModel", "model/{ModelName}", _END),
        ("StopTrainingJob", "training-job/{TrainingJobName}", _END),
        ("DeleteTrainingJob", "training-job/{TrainingJobName}", _END),
    ),
    *rows(
        LEARNER,
        "sagemaker-runtime",
        ("InvokeEndpoint", "endpoint/{EndpointName}", "paint"),
        ("InvokeEndpointAsync", "endpoint/{EndpointName}", "fine-tune"),
    ),
    *rows(
        LEARNER,
        "application-autoscaling",
        (
            "RegisterScalableTarget",
            "scalable-target/*",
            "let an endpoint grow with its queue",
        ),
        ("PutScalingPolicy", "scalable-target/*", "let an endpoint grow with its queue"),
        ("DescribeScalingActivities", "*", "what scaled, and why"),
        ("DescribeScalableTargets", "*", _FIND),
        ("DescribeScalingPolicies", "*", _FIND),
        ("DeleteScalingPolicy", "scalable-target/*", _END),
        ("DeregisterScalableTarget", "scalable-target/*", _END),
    ),
    *rows(
        LEARNER,
        "sns",
        ("CreateTopic", "{Name}, TagResource {Name}", "who is told that a job has ended"),
        ("Subscribe", "{TopicArn}", "the queue listens to the topics"),
        ("GetTopicAttributes", "{TopicArn}", _LOOK),
        ("ListTopics", "*", _FIND),
        ("ListSubscriptions", "*", _FIND),
        ("ListSubscriptionsByTopic", "{TopicArn}", _END),
        ("Unsubscribe", "{SubscriptionArn}", _END),
        ("DeleteTopic", "{TopicArn}", _END),
    ),
    *rows(
        LEARNER,
        "sqs",
        ("CreateQueue", "{QueueName}, TagQueue {QueueName}", "messages wait here for the notebook"),
        ("GetQueueUrl", "{QueueName}", _LOOK),
        ("ReceiveMessage", "{QueueUrl|name}", "read that a job has ended"),
        ("DeleteMessage", "{QueueUrl|name}", "a message that was read"),
        ("ListQueues", "*", _FIND),
        ("DeleteQueue", "{QueueUrl|name}", _END),
    ),
    *rows(
        LEARNER,
        "logs",
        ("FilterLogEvents", "log-group:{logGroupName}:*", "what a container wrote"),
        (
            "GetLogEvents",
            "log-group:{logGroupName}:log-stream:{logStreamName}",
            "what a training job wrote, its own stream alone",
        ),
        ("DescribeLogGroups", "*", _FIND),
        ("DescribeLogStreams", "log-group:{logGroupName}:*", _FIND),
        ("DeleteLogGroup", "log-group:{logGroupName}:*", _END),
        ("DeleteLogStream", "log-group:{logGroupName}:log-stream:{logStreamName}", _END),
    ),
    *rows(
        LEARNER,
        "cloudwatch",
        (
            "PutMetricAlarm",
            "alarm:{AlarmName}, TagResource alarm:{AlarmName}",
            "wake an endpoint that has no instances",
        ),
        ("GetMetricStatistics", "*", "the memory that a job takes"),
        ("DescribeAlarms", "alarm:*", _FIND),
        ("DeleteAlarms", "alarm:{AlarmNames[]}", _END),
    ),
    *rows(
        LEARNER,
        "codebuild",
        ("ListProjects", "*", _FIND),
        ("BatchGetProjects", "project/{names[]}", _LOOK),
        ("ListBuildsForProject", "project/{projectName}", _END),
        ("BatchGetBuilds", "project/{ids[]|stem}", _LOOK),
        ("StartBuild", "project/{projectName}", "build the serving image"),
    ),
    *rows(
        LEARNER,
        "ecr",
        ("DescribeRepositories", "repository/*", _FIND),
        ("ListTagsForResource", "{resourceArn}", _FIND),
        ("DescribeImages", "repository/{repositoryName}", "is the serving image there"),
    ),
    *rows(
        LEARNER,
        "resourcegroupstaggingapi",
        ("GetResources", "*", "everything that carries the learner's tag"),
    ),
    *rows(
        LEARNER,
        "pricing",
        ("GetProducts", "*", "today's price, for the estimate before each create call"),
    ),
    *rows(
        LEARNER,
        "service-quotas",
        ("ListServiceQuotas", "*", "the quotas that apply here"),
        ("ListAWSDefaultServiceQuotas", "*", "quotas that nobody has changed yet"),
        (
            "ListRequestedServiceQuotaChangeHistoryByQuota",
            "{ServiceCode}/{QuotaCode}",
            "has an increase been asked for",
        ),
        ("RequestServiceQuotaIncrease", "{ServiceCode}/{QuotaCode}", "ask for an increase"),
    ),
    *rows(
        SWEEPER,
        "resourcegroupstaggingapi",
        ("GetResources", "*", "endpoints with the course's tags"),
    ),
    *rows(
        SWEEPER,
        "sagemaker",
        ("DeleteEndpoint", "endpoint/{EndpointName}", "endpoints whose expiry has passed"),
    ),
)

FROM_SERVICES: Mapping[str, Mapping[str, str]] = {
    LEARNER: {
        "kms:GenerateDataKey": "S3 encrypts what is uploaded, if the bucket has a key of yours",
        "kms:Decrypt": "S3 decrypts what is read, if the bucket has a key of yours",
    },
    CONTAINER: {
        "s3:GetObject": "SageMaker fetches model archives, requests and avatars",
        "s3:ListBucket": "a multi-model endpoint looks its avatars up; training channels too",
        "s3:AbortMultipartUpload": "SageMaker gives up an upload of an answer",
        "kms:GenerateDataKey": "S3 encrypts answers, if the bucket has a key of yours",
        "kms:Decrypt": "S3 decrypts model archives, if the bucket has a key of yours",
        "sns:Publish": "an asynchronous endpoint tells that a job has ended",
        "ecr:GetAuthorizationToken": "SageMaker signs in to the registry",
        "ecr:BatchCheckLayerAvailability": "SageMaker pulls the container image",
        "ecr:BatchGetImage": "SageMaker pulls the container image",
        "ecr:GetDownloadUrlForLayer": "SageMaker pulls the container image",
        "logs:CreateLogGroup": "SageMaker writes the containers' output",
        "logs:CreateLogStream": "SageMaker writes the containers' output",
        "logs:DescribeLogStreams": "SageMaker writes the containers' output",
        "logs:PutLogEvents": "SageMaker writes the containers' output",
        "cloudwatch:PutMetricData": "SageMaker writes the containers' metrics",
        "ec2:CreateNetworkInterface": "containers in a VPC, if you put them there",
        "ec2:CreateNetworkInterfacePermission": "containers in a VPC, if you put them there",
        "ec2:DeleteNetworkInterface": "containers in a VPC, if you put them there",
        "ec2:DeleteNetworkInterfacePermission": "containers in a VPC, if you put them there",
        "ec2:DescribeDhcpOptions": "containers in a VPC, if you put them there",
        "ec2:DescribeNetworkInterfaces": "containers in a VPC, if you put them there",
        "ec2:DescribeSecurityGroups": "containers in a VPC, if you put them there",
        "ec2:DescribeSubnets": "containers in a VPC, if you put them there",
        "ec2:DescribeVpcs": "containers in a VPC, if you put them there",
    },
    SWEEPER: {
        "logs:CreateLogStream": "Lambda writes the function's output",
        "logs:PutLogEvents": "Lambda writes the function's output",
    },
}
"""What AWS's services do in the same role's name, and why: no code of ours calls these."""


def actions(caller: str) -> set[str]:
    """Every IAM action that this caller's operations need."""
    return {need.action for row in PERMISSIONS if row.caller == caller for need in row.needs}
