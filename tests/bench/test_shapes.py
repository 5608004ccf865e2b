"""Random weights of the large base's kind: what a GPU is timed with, walked through without one."""

from __future__ import annotations

from pathlib import Path

from helpers.bench import job
from helpers.bench.fine_tune import photos
from helpers.bench.gpu import gpu_jobs
from helpers.bench.shapes import SD_2_1, Shape, random_base, write_random_base
from helpers.tuning.adapter import read_adapter


def test_a_job_of_the_large_shape_s_kind_runs_on_random_weights(tmp_path: Path) -> None:
    narrow = Shape(
        unet={**SD_2_1.unet, "block_out_channels": (32,) * 4, "attention_head_dim": 32,
              "layers_per_block": 1},
        vae={**SD_2_1.vae, "block_out_channels": (32,) * 4, "layers_per_block": 1},
        text={**SD_2_1.text, "vocab_size": 8000, "num_hidden_layers": 1},
    )  # fmt: skip
    base = write_random_base(tmp_path / "base", narrow)
    assert base == random_base(tmp_path / "base")
    alone, _ = gpu_jobs(tmp_path, base.folder, photos("instance")[:2])
    task = alone["warm"]
    assert task.gpu
    changes = {"n_steps": 2, "steps_per_photo": 0, "num_class_images": 1, "class_image_steps": 1}
    given = {**task.given, "config": {**task.given["config"], **changes, "crops": 1}}
    found = job.run(given)
    assert len(found["step_seconds"]) == 2
    assert read_adapter(Path(given["adapter"])).manifest.resolution == 512
