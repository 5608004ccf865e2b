"""Hosting at the shape of Stable Diffusion 2.1 on a GPU, with random weights; where there is one.

``python -m helpers.bench.hosting_gpu FOLDER`` is the process that measures, on any device.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from helpers.bases import BaseModel
from helpers.bases.folder import MANIFEST, base_hash
from helpers.bench.lanes import Lanes, Task, serve
from helpers.bench.report import Row

UNITS = {
    "gpu.first-picture": "s",
    "gpu.swap.p50": "ms",
    "gpu.swap.p95": "ms",
    "gpu.rate.single": "pictures/s",
    "gpu.rate.turns.unbatched": "pictures/s",
    "gpu.rate.share.unbatched": "",
    "gpu.rate.turns.batched": "pictures/s",
    "gpu.rate.share.batched": "",
    "gpu.memory": "GB",
}
TOGETHER = 4


def gpu_rows(work: Path, *, avatars: int, steps: int, say: Callable[[str], None]) -> list[Row]:
    """The rows of ``UNITS``; without a GPU they say that nothing was measured. Needs 3 GB."""
    import torch

    if not torch.cuda.is_available():
        return [Row(name="gpu", value="none at hand")] + [
            Row(name=name, value=None, unit=unit) for name, unit in UNITS.items()
        ]
    from helpers.bench.shapes import write_random_base

    say("the shape of Stable Diffusion 2.1 on the GPU")
    made = vouched(write_random_base(work / "base"))
    task = Task(
        module="helpers.bench.hosting_gpu",
        folder=work / "task",
        gpu=True,
        given={"base": str(made), "work": str(work), "avatars": avatars, "steps": steps},
    )
    found = Lanes(count=1, say=say).run({"gpu": [task]})["gpu"][0]
    return [Row(name="gpu", value=torch.cuda.get_device_name())] + [
        Row(name=name, value=found[name], unit=unit) for name, unit in UNITS.items()
    ]


def vouched(base: BaseModel) -> Path:
    """Let a base of random weights be opened like any other: with a manifest that says what it
    is."""
    told = {"id": base.id, "hash": base_hash(base.folder), "vouched": base.vouched,
            "licence": {"licence": base.registered.licence.spdx}}  # fmt: skip
    (base.folder / MANIFEST).write_text(json.dumps(told), encoding="utf-8")
    return base.folder


def run(given: Mapping[str, Any]) -> dict[str, float]:
    """The values of ``UNITS``."""
    import torch

    from helpers.bench.hosting_avatars import attention, write_random_adapter
    from helpers.hosting.generate import AvatarPainter, GenerationRequest, Order
    from helpers.hosting.slots import Slots

    painter = AvatarPainter(Path(given["base"]), room=1 << 34)
    unet, work = painter._pipe.unet, Path(given["work"])
    folders = [
        write_random_adapter(work / f"{n}", painter.base, attention(unet), n)
        for n in range(given["avatars"])
    ]
    asked = GenerationRequest.from_json(
        "a photo of a dog", None, {"seed": 1, "num_inference_steps": given["steps"]},
        limits=painter.limits,
    )  # fmt: skip

    def paint(chosen: Sequence[Path]) -> float:
        began = time.perf_counter()
        for done in painter.render_all([Order(request=asked, folder=one) for one in chosen]):
            if isinstance(done, Exception):
                raise done
        return time.perf_counter() - began

    paint(folders[:1])
    paint(folders[:TOGETHER])  # kernels of that size are chosen
    firsts = [paint([one]) for one in folders[TOGETHER:]]
    single = [paint(folders[:1]) for _ in folders]
    turns = [paint([one]) for one in folders]
    parts = [folders[at : at + TOGETHER] for at in range(0, len(folders), TOGETHER)]
    same = [paint(folders[:1] * len(part)) for part in parts]
    mixed = [paint(part) for part in parts]

    ready = [painter._shelf.get(one) for one in folders]
    slots, cuda = Slots({"unet": unet}), torch.cuda.is_available()
    slots.use(ready[:1], [1.0])
    swaps = []
    for one in [*ready, *ready]:
        began = time.perf_counter()
        slots.use([one], [1.0])
        if cuda:
            torch.cuda.synchronize()
        swaps.append(1000 * (time.perf_counter() - began))
    count = len(folders)
    return {
        "gpu.first-picture": median(firsts or turns),
        "gpu.swap.p50": median(swaps),
        "gpu.swap.p95": quantiles(swaps, n=100, method="inclusive")[94],
        "gpu.rate.single": count / sum(single),
        "gpu.rate.turns.unbatched": count / sum(turns),
        "gpu.rate.share.unbatched": sum(single) / sum(turns),
        "gpu.rate.turns.batched": count / sum(mixed),
        "gpu.rate.share.batched": sum(same) / sum(mixed),
        "gpu.memory": torch.cuda.max_memory_allocated() / 1e9 if cuda else 0.0,
    }


if __name__ == "__main__":
    serve(run)
