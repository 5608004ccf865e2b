"""The bench of hosting: one shared base, beside the design of 2023 and beside plain diffusers.

On the real Triton and the pocket base, in one run: *ours* is what the course serves, *pipelines*
the design of 2023 (each avatar a whole pipeline in a process of its own), *plain* one pipeline in
one process with ``load_lora_weights`` and ``unload_lora_weights`` around every picture. What is
compared as a rate is measured in turns, block by block, under the same load.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

from helpers.bases import BaseModel, shipped_base
from helpers.bench.hosting_avatars import (
    attention,
    pipeline_model,
    stub_model,
    write_random_adapter,
)
from helpers.bench.hosting_chaos import Havoc, wreak
from helpers.bench.hosting_gpu import gpu_rows
from helpers.bench.hosting_stage import Burst, Stage, on_stage
from helpers.bench.lanes import Lanes, Task
from helpers.bench.report import Row, measured
from helpers.hosting.repository import build_base_repository
from helpers.settings import Settings
from helpers.tuning.adapter import MANIFEST

LOADERS = 4


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the bench does. ``sizes`` are numbers of avatars whose memory is measured (of which
    ``share`` are really loaded), ``turns`` how many avatars take turns, ``pictures`` those of a
    block, ``pipelines`` how many of 2023 are up, ``starts`` how often a server is started anew."""

    base: BaseModel
    work: Path
    sizes: tuple[int, ...] = (1, 10, 50, 200)
    share: float = 1.0
    turns: int = 50
    blocks: int = 3
    pictures: int = 64
    steps: int = 8
    gpu_steps: int = 25
    pipelines: int = 3
    evictions: int = 2
    shape_avatars: int = 50
    diffusers_loads: int = 5
    plain: int = 12
    kills: int = 100
    starts: int = 3


def quick_plan(base: BaseModel, work: Path) -> Plan:
    """The same walk with next to nothing in it."""
    return Plan(
        base=base, work=work, share=0.02, turns=3, blocks=1, pictures=4, steps=1, gpu_steps=1,
        pipelines=1, evictions=1, shape_avatars=2, diffusers_loads=1, plain=2, kills=2, starts=1,
    )  # fmt: skip


def run(settings: Settings, *, quick: bool, say: Callable[[str], None]) -> list[Row]:
    """Every row of the bench. Raises ``CourseError``, so too where the real Triton cannot run."""
    base = shipped_base(settings.base_model, settings=settings)
    work = settings.outputs / "bench" / "hosting_work"
    return measure((quick_plan if quick else Plan)(base=base, work=work), say=say)


def measure(plan: Plan, *, say: Callable[[str], None]) -> list[Row]:
    """The rows of a plan. Its working folder goes when all is done."""
    shutil.rmtree(plan.work, ignore_errors=True)
    say("making avatars")
    adapters = _adapters(plan)
    rows = [*_ours(plan, adapters, say=say), *_pipelines(plan, adapters, say=say)]
    say("one process without a server, and the shape of Stable Diffusion 2.1")
    rows += _alone(plan, adapters, say=say)
    gpu = plan.work / "gpu"
    rows += gpu_rows(gpu, avatars=plan.shape_avatars, steps=plan.gpu_steps, say=say)
    manifest = (adapters[0] / MANIFEST).read_text(encoding="utf-8")
    say(f"killing {plan.kills} processes")
    havoc = wreak(plan.work / "chaos", manifest, kills=plan.kills, seed=7, say=say)
    rows += chaos_rows(havoc)
    shutil.rmtree(plan.work, ignore_errors=True)
    return _compared(rows)


def _adapters(plan: Plan) -> list[Path]:
    from helpers.hosting.generate import load_pipeline

    layers = attention(load_pipeline(plan.base.folder).unet)
    count = max(plan.turns, round(plan.share * max(plan.sizes)))
    return [
        write_random_adapter(plan.work / "adapters" / f"{n}", plan.base, layers, n)
        for n in range(count)
    ]


def _ours(plan: Plan, adapters: Sequence[Path], *, say: Callable[[str], None]) -> list[Row]:
    repository = build_base_repository(plan.work / "batched", plan.base.folder)
    alone = Path(shutil.copytree(repository, plan.work / "unbatched"))
    config = alone / "avatar_base" / "config.pbtxt"
    config.write_text(config.read_text(encoding="utf-8").partition("dynamic_batching")[0])
    rows, cold = [], []
    with on_stage(repository, plan.work / "server", steps=plan.steps) as stage:
        rows += _memory(plan, stage, adapters, say=say)
        fresh = range(len(adapters), len(adapters) + 3)
        first = [_first(stage, n, _stub(plan, "server", adapters, n)) for n in fresh]
        rows.append(measured("first-picture.ours", [sum(one) for one in first], "s"))
        rows.append(measured("load.ours", [load for load, _ in first], "s"))
        again = [stage.paint(fresh[n % 3]) for n in range(9)]
        rows.append(measured("next-picture.ours", again, "s"))
        say("pictures in turns, batched")
        rows += rate_rows("batched", *_turns(plan, stage))
    with on_stage(alone, plan.work / "server-alone", steps=plan.steps) as stage:
        for number in range(plan.turns):
            stage.load(number, _stub(plan, "server-alone", adapters, number))
        say("pictures in turns, one at a time")
        rows += rate_rows("unbatched", *_turns(plan, stage))
    for number in range(plan.starts):
        with on_stage(repository, plan.work / f"server-{number}", steps=plan.steps) as stage:
            first = _first(stage, number, _stub(plan, f"server-{number}", adapters, number))
            cold.append(stage.started + sum(first))
    rows.append(measured("cold-start.ours", cold, "s"))
    return rows


def _stub(plan: Plan, server: str, adapters: Sequence[Path], number: int) -> Path:
    url = plan.work / server / "models" / f"{number}" / "model"
    return stub_model(url, adapters[number % len(adapters)])


def _first(stage: Stage, number: int, url: Path) -> tuple[float, float]:
    return stage.load(number, url), stage.paint(number)


def _memory(
    plan: Plan, stage: Stage, adapters: Sequence[Path], *, say: Callable[[str], None]
) -> list[Row]:
    rows, up = [], 0
    for size in plan.sizes:
        fresh = range(up, max(up, 1, round(plan.share * size)))
        with ThreadPoolExecutor(LOADERS) as pool:
            urls = [_stub(plan, "server", adapters, number) for number in fresh]
            list(pool.map(stage.load, fresh, urls))
            list(pool.map(lambda number: stage.paint(number, steps=1), fresh))
        up += len(fresh)
        taken = stage.memory()
        say(f"{up} avatars take {taken:,.0f} MB")
        rows.append(Row(name=f"memory.ours.{size}", value=taken / 1000, unit="GB"))
    return rows


def _turns(plan: Plan, stage: Stage) -> tuple[list[Burst], list[Burst]]:
    """One avatar alone and many in turns, block after block. All have painted before: a stub's
    first picture, and an adapter that was never read, have rows of their own."""
    one, many = [], []
    stage.burst(range(plan.turns), plan.turns)
    for block in range(plan.blocks):
        one.append(stage.burst([0], plan.pictures))
        many.append(stage.burst(range(plan.turns), plan.pictures, block * plan.pictures))
    return one, many


def rate_rows(kind: str, one: Sequence[Burst], many: Sequence[Burst]) -> list[Row]:
    """Rates, what share of the single avatar's rate is kept, and how long calls take."""
    calls = sorted(call for burst in many for call in burst.calls)
    shares = [turns.rate / single.rate for turns, single in zip(many, one, strict=True)]
    return [
        measured(f"rate.single.{kind}", [burst.rate for burst in one], "pictures/s"),
        measured(f"rate.turns.{kind}", [burst.rate for burst in many], "pictures/s"),
        measured(f"rate.share.{kind}", shares),
        Row(name=f"call.p50.{kind}", value=median(calls), unit="s"),
        Row(name=f"call.p99.{kind}", value=percentile(calls, 99), unit="s"),
    ]


def _pipelines(plan: Plan, adapters: Sequence[Path], *, say: Callable[[str], None]) -> list[Row]:
    say("the design of 2023")

    def url(number: int) -> Path:
        model = plan.work / "server-2023" / "models" / f"{number}" / "model"
        return pipeline_model(model, adapters[number % len(adapters)], plan.base)

    firsts, memory = [], []
    with on_stage(None, plan.work / "server-2023", steps=plan.steps) as stage:
        memory.append(stage.memory())
        for number in range(plan.pipelines):
            firsts.append(sum(_first(stage, number, url(number))))
            memory.append(stage.memory())
        cold = stage.started + firsts[0]
        bursts = [
            stage.burst(range(plan.pipelines), plan.pictures // 2) for _ in range(plan.blocks)
        ]
        # An avatar that is not up evicts another one first, as it does on a full GPU.
        turns = []
        for number in range(plan.pipelines, plan.pipelines + plan.evictions):
            gone = stage.unload(number - plan.pipelines)
            turns.append(1 / (gone + sum(_first(stage, number, url(number)))))
    each = (memory[-1] - memory[0]) / plan.pipelines / 1000
    calls = sorted(call for burst in bursts for call in burst.calls)
    return [
        Row(name="cold-start.pipelines", value=cold, unit="s"),
        measured("first-picture.pipelines", firsts, "s"),
        measured("rate.resident.pipelines", [burst.rate for burst in bursts], "pictures/s"),
        measured("rate.turns.pipelines", turns, "pictures/s"),
        Row(name="call.p50.pipelines", value=median(calls), unit="s"),
        Row(name="call.p99.pipelines", value=percentile(calls, 99), unit="s"),
        Row(name="memory.pipelines.each", value=each, unit="GB"),
        Row(name="memory.pipelines.200-computed", value=200 * each, unit="GB"),
    ]


def _alone(plan: Plan, adapters: Sequence[Path], *, say: Callable[[str], None]) -> list[Row]:
    task = Task(
        module="helpers.bench.hosting_alone",
        folder=plan.work / "alone",
        given={
            "work": str(plan.work / "shape"),
            "avatars": plan.shape_avatars,
            "few": plan.diffusers_loads,
            "base": str(plan.base.folder),
            "adapters": [str(adapters[n % len(adapters)]) for n in range(plan.plain + 1)],
            "steps": plan.steps,
            "guidance": plan.base.registered.guidance,
        },
    )
    (plan.work / "shape").mkdir(parents=True)
    found = Lanes(count=1, say=say).run({"alone": [task]})["alone"][0]
    return [
        *(
            Row(name=f"swap.2-1.{end}.{kind}", value=percentile(found[key], int(end[1:])) * 1000,
                unit="ms")
            for kind, key in (("slots", "swap"), ("slots-processor", "swap_cpu"))
            for end in ("p50", "p95")
        ),
        measured("miss.2-1", [1000 * one for one in found["miss"]], "ms"),
        measured("miss.2-1.processor", [1000 * one for one in found["miss_cpu"]], "ms"),
        measured("miss.2-1.first-time", [1000 * one for one in found["first"]], "ms"),
        measured("swap.2-1.diffusers", [1000 * one for one in found["diffusers"]], "ms"),
        measured("first-picture.plain", found["plain_first"], "s"),
        measured("swap.plain", [1000 * one for one in found["plain_swap"]], "ms"),
        measured("rate.turns.plain", [1 / one for one in found["plain_picture"]], "pictures/s"),
        Row(name="memory.plain", value=found["plain_memory"][0] / 1000, unit="GB"),
    ]  # fmt: skip


def chaos_rows(havoc: Havoc) -> list[Row]:
    """What callers heard while processes were killed, and what was left."""
    return [
        Row(name="chaos.kills", value=float(sum(havoc.kills.values()))),
        Row(name="chaos.kills.base", value=float(havoc.kills["base"])),
        Row(name="chaos.pictures", value=float(havoc.pictures)),
        Row(name="chaos.retryable", value=float(havoc.retryable)),
        Row(name="chaos.unclear", value=float(len(havoc.unclear))),
        Row(name="chaos.unclear.said", value=_said(havoc.unclear)),
        Row(name="chaos.longest-call", value=havoc.longest_s, unit="s"),
        Row(name="chaos.server-restarts", value=float(havoc.restarts)),
        Row(name="chaos.recovered", value=float(havoc.recovered_s is not None)),
        Row(name="chaos.recovery", value=havoc.recovered_s, unit="s"),
        Row(name="chaos.left", value=float(havoc.processes + havoc.shared + havoc.temporary)),
    ]


def _said(answers: Sequence[str]) -> str:
    return "; ".join(one[:80] for one, _ in Counter(answers).most_common(2)) or "nothing"


def _compared(rows: list[Row]) -> list[Row]:
    """Ours over the others', from the rows that are there."""
    of = {row.name: row.value for row in rows}

    def ratio(name: str, ours: str, theirs: str) -> Row:
        upper, lower = of[ours], of[theirs]
        assert isinstance(upper, float) and isinstance(lower, float)
        return Row(name=name, value=upper / lower)

    return [
        *rows,
        ratio("first-picture.of-pipelines", "first-picture.ours", "first-picture.pipelines"),
        ratio("rate.turns.of-pipelines", "rate.turns.batched", "rate.turns.pipelines"),
        ratio("rate.turns.of-plain", "rate.turns.batched", "rate.turns.plain"),
    ]


def percentile(values: Sequence[float], percent: int) -> float:
    """The value below which ``percent`` of the sorted ``values`` lie."""
    if len(values) < 2:
        return values[0]
    return quantiles(values, n=100, method="inclusive")[percent - 1]
