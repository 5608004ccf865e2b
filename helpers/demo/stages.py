"""The stages of the demo, each a walk along the same functions that the notebooks call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from helpers.bases import BaseModel
from helpers.cloud.endpoints import deploy_async, deploy_multi_model, wait_in_service
from helpers.cloud.images import djl_image
from helpers.cloud.jobs import follow, notifications, result, submit
from helpers.cloud.ledger import Ledger
from helpers.cloud.logs import serving_engine
from helpers.cloud.serving_image import build_serving_image
from helpers.cloud.session import Cloud
from helpers.cloud.topics import create_topics
from helpers.demo.plan import INSTANCE_TYPE, PROMPTS, SCORED, Plan
from helpers.demo.report import Report
from helpers.errors import JobError
from helpers.experiments.similarity import (
    PromptFidelity,
    open_judge,
    prompts_that_rise,
    subject_fidelity,
)
from helpers.hosting.client import AvatarClient
from helpers.hosting.publisher import publish_avatar
from helpers.hosting.repository import kept_base_repository
from helpers.photos.archive import pack_request
from helpers.photos.photo import Photo
from helpers.tuning.package import package_training_service
from helpers.tuning.progress import read_progress
from helpers.ui.gallery import gallery


def fine_tune(
    plan: Plan,
    cloud: Cloud,
    ledger: Ledger,
    base: BaseModel,
    photos: Sequence[Photo],
    report: Report,
    work: Path,
) -> str:
    """Photos through the asynchronous endpoint; returns where the adapter was staged."""
    with report.stage("fine-tuning endpoint", "Deploying the fine-tuning endpoint"):
        topics = create_topics(cloud, ledger, "tuning")
        archive = package_training_service(
            work / "model.tar.gz", base_folder=base.folder, staging_s3_uri=cloud.uri("staging")
        )
        deploy_async(
            cloud,
            ledger,
            name="tuning",
            image=djl_image(cloud.region),
            model_data=archive,
            instance_type=INSTANCE_TYPE,
            success_topic=topics.success,
            error_topic=topics.error,
        )
        wait_in_service(cloud, "tuning")
    with report.stage("fine-tuning", f"Fine-tuning on {len(photos)} photos") as line:
        config = {
            "n_steps": plan.n_steps,
            "num_class_images": plan.num_class_images,
            "face_preprocessing": True,
        }
        request = pack_request(photos, work / "request.tar.gz", config=config)
        job = submit(cloud, "tuning", request)
        for status in follow(cloud, job):
            for progress in read_progress(map(str, status.lines), job.inference_id):
                line.progress(f"{progress.stage} {progress.done}/{progress.total}")
        answer = result(cloud, job)
        message = next(
            (one for one in notifications(cloud, topics.queue_url)
             if one.inference_id == job.inference_id), None,
        )  # fmt: skip
        if message is None:
            raise JobError("the job's SNS message did not arrive", "", "run the demo again")
    report.facts["fine_tuning"] = answer
    report.facts["adapter_bytes"] = answer["bytes"]
    report.facts["sns_message"] = message.message
    return answer["adapter"]


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Pictures by prompt and seed, ``with_adapter`` and, same prompts and seeds, without it;
    ``adapters``: the hashes of those that painted them."""

    with_adapter: list[list[Image.Image]]
    without_adapter: list[list[Image.Image]]
    adapters: frozenset[str] = frozenset()


def host_and_paint(
    plan: Plan,
    cloud: Cloud,
    ledger: Ledger,
    base: BaseModel,
    adapter: str,
    report: Report,
    work: Path,
) -> Pictures:
    """Publish the adapter, deploy the multi-model endpoint and paint every prompt and seed."""
    with report.stage("avatar endpoint", "Deploying the multi-model endpoint"):
        avatars = cloud.uri("avatars")
        target = publish_avatar(cloud.client("s3"), adapter, avatars, base=base, work=work)
        folder = kept_base_repository(cloud.settings.state / "images", base)
        deployment = deploy_multi_model(
            cloud,
            ledger,
            name="avatars",
            image=build_serving_image(cloud, ledger, folder, say=lambda _: None),
            model_prefix=avatars,
            instance_type=INSTANCE_TYPE,
        )
        wait_in_service(cloud, "avatars")
    client = AvatarClient(cloud.client("sagemaker-runtime"), deployment.endpoint)
    count = 2 * len(PROMPTS) * len(plan.seeds)
    with report.stage("avatars", f"Painting {count} pictures") as line:
        rows: dict[float, list[list[Image.Image]]] = {1.0: [], 0.0: []}
        adapters: set[str] = set()
        for prompt in PROMPTS:
            for scale, pictures in rows.items():
                row = client.paint_seeds(
                    target,
                    prompt,
                    plan.seeds,
                    callers=len(plan.seeds),  # the endpoint paints together what waits
                    num_inference_steps=plan.num_inference_steps,
                    adapter_scale=scale,
                )
                pictures.append([painted.image for painted in row])
                adapters |= {painted.info["adapter_sha256"] for painted in row} - {None}
                line.progress(f"{sum(map(len, rows[1.0] + rows[0.0]))}/{count}")
    report.facts["target_model"] = target
    report.facts["serving_engine"] = serving_engine(cloud, "avatars")
    return Pictures(with_adapter=rows[1.0], without_adapter=rows[0.0], adapters=frozenset(adapters))


def measure(pictures: Pictures, references: Sequence[Image.Image]) -> dict[str, Any]:
    """Subject fidelity of each scored prompt, with and without the adapter, and how many rise."""

    judge = open_judge()
    scores = [
        PromptFidelity(
            prompt=prompt,
            with_adapter=subject_fidelity(judge, pictures.with_adapter[row], references),
            without_adapter=subject_fidelity(judge, pictures.without_adapter[row], references),
        )
        for row, prompt in enumerate(PROMPTS[:SCORED])
    ]
    return {
        "measure": "mean cosine of the judge's embeddings to the references (-1 to 1)",
        "prompts": [{**asdict(score), "gain": score.gain} for score in scores],
        "rises": prompts_that_rise(scores),
        "of": len(scores),
    }


def draw_gallery(photos: Sequence[Image.Image], pictures: Pictures) -> Image.Image:
    """The poster: the photos it learned from, then each prompt with and without the adapter."""

    return gallery(
        photos=photos,
        prompts=[prompt.replace("<<TOK>>", "‹you›") for prompt in PROMPTS],
        with_adapter=pictures.with_adapter,
        without_adapter=pictures.without_adapter,
    )
