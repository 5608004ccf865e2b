"""One process without a server: ``python -m helpers.bench.hosting_alone FOLDER``.

Swaps at the shape of Stable Diffusion 2.1, by slots and by diffusers' own calls, on networks whose
weights are never touched; and what plain diffusers does with one pipeline and many adapters.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from helpers.bench.lanes import serve


def run(given: Mapping[str, Any]) -> dict[str, Any]:
    """Seconds of everything, as lists."""
    import torch

    torch.set_num_threads(1)
    return {**shape_of_2_1(given), **plain(given)}


def shape_of_2_1(given: Mapping[str, Any]) -> dict[str, list[float]]:
    """Slots and diffusers on the U-Net of 2.1."""
    import torch
    from safetensors.torch import load_file

    from helpers.bench.hosting_avatars import attention, write_random_adapter
    from helpers.bench.shapes import networks, random_base
    from helpers.hosting.avatars import AvatarShelf
    from helpers.hosting.slots import Slots
    from helpers.tuning.adapter import WEIGHTS

    unet: Any = networks().unet.to_empty(device="cpu")
    work = Path(given["work"])
    base, layers = random_base(work), attention(unet)
    folders = [
        write_random_adapter(work / f"{n}", base, layers, n) for n in range(given["avatars"])
    ]
    shelf = AvatarShelf(base, torch.float32)
    avatars = [shelf.get(folder) for folder in folders]
    slots = Slots({"unet": unet})
    slots.use(avatars[:1], [1.0])
    swaps = [timed(lambda one=one: slots.use([one], [1.0])) for _ in range(4) for one in avatars]
    # Room for a few: every one is a miss, and takes the memory of the one that left.
    small = AvatarShelf(base, torch.float32, room=avatars[0].size * 4)
    misses = [timed(lambda one=one: small.get(one)) for _ in range(2) for one in folders]
    slots.use([], [])
    files = [load_file(folder / WEIGHTS) for folder in folders[: given["few"]]]
    loads = []
    for tensors in files:
        state = {key.removeprefix("unet."): tensor for key, tensor in tensors.items()}
        loads.append(timed(lambda state=state: unet.load_lora_adapter(state, prefix=None)))
        unet.unload_lora()
    return {
        "swap": [wall for wall, _ in swaps[len(avatars) :]],
        "swap_cpu": [cpu for _, cpu in swaps[len(avatars) :]],
        "miss": [wall for wall, _ in misses[len(folders) :]],
        "miss_cpu": [cpu for _, cpu in misses[len(folders) :]],
        "first": [wall for wall, _ in misses[: len(folders)]],
        "diffusers": [wall for wall, _ in loads],
    }


def plain(given: Mapping[str, Any]) -> dict[str, list[float]]:
    """``load_lora_weights`` and ``unload_lora_weights`` around every picture, in turns."""
    import torch

    from helpers.hosting.generate import load_pipeline, quiet
    from helpers.tuning.adapter import WEIGHTS

    pipe = load_pipeline(Path(given["base"]))
    first, swaps, pictures = [], [], []
    with quiet():
        for folder in given["adapters"]:
            began = time.perf_counter()
            pipe.load_lora_weights(folder, weight_name=WEIGHTS)
            loaded = time.perf_counter()
            pipe(
                "a photo of a dog",
                num_inference_steps=given["steps"],
                guidance_scale=given["guidance"],
                generator=torch.Generator("cpu").manual_seed(1),
            )
            painted = time.perf_counter()
            pipe.unload_lora_weights()
            ended = time.perf_counter()
            first.append(painted - began)
            swaps.append(loaded - began + ended - painted)
            pictures.append(ended - began)
    return {
        "plain_first": first[1:],
        "plain_swap": swaps[1:],
        "plain_picture": pictures[1:],
        "plain_memory": [_memory()],
    }


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def _memory() -> float:
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


if __name__ == "__main__":
    serve(run)
