from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.bases import REGISTRY, BaseModel
from helpers.errors import ConfigError
from helpers.tuning.config import FineTuneConfig

ORIGINAL_CALL: dict[str, Any] = {
    "base_model": "stabilityai/stable-diffusion-2-1-base",
    "resolution": 512,
    "n_steps": 1000,
    "concept_prompt": "photo of <<TOK>>",
    "learning_rate": 1e-4,
    "gradient_accumulation": 1,
    "fp16": True,
    "use_8bit_adam": True,
    "gradient_checkpointing": True,
    "train_text_encoder": True,
    "with_prior_preservation": True,
    "prior_loss_weight": 1.0,
    "class_prompt": "a photo of person",
    "num_class_images": 50,
    "class_data_dir": "/tmp/priors",
    "lora_r": 128,
    "lora_alpha": 1,
    "lora_bias": "none",
    "lora_dropout": 0.05,
    "lora_text_encoder_r": 64,
    "lora_text_encoder_alpha": 1,
    "lora_text_encoder_bias": "none",
    "lora_text_encoder_dropout": 0.05,
    "face_preprocessing": False,
}
FIELDS = {field.name: field for field in dataclasses.fields(FineTuneConfig)}
NUMBERS = {name: field for name, field in FIELDS.items() if "least" in field.metadata}
SWITCHES = [name for name, field in FIELDS.items() if field.type == "bool"]


def _within(name: str) -> st.SearchStrategy[Any]:
    limits = NUMBERS[name].metadata
    least, most = limits["least"], limits["most"]
    if name == "resolution":
        return st.integers(4, 128).map(lambda eighth: eighth * 8)
    if NUMBERS[name].type == "int":
        return st.integers(least, most)
    return st.floats(
        least, most, exclude_min=limits["open"] == "[", exclude_max=limits["open"] == "]"
    )


def _wrong_kind(name: str) -> st.SearchStrategy[Any]:
    """Values that JSON can hold and that this key must not."""
    kinds: dict[str, st.SearchStrategy[Any]] = {
        "null": st.none(),
        "list": st.lists(st.integers(), max_size=2),
        "keys": st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
        "bool": st.booleans(),
        "int": st.integers(1, 9),
        "float": st.floats(0.1, 0.9),
        "str": st.text(min_size=1, max_size=9),
    }
    own = str(FIELDS[name].type)
    fitting = {"float": {"float", "int"}}.get(own, {own})
    return st.one_of([kind for label, kind in kinds.items() if label not in fitting])


def test_the_original_call_is_taken_verbatim() -> None:
    config = FineTuneConfig.from_mapping(json.loads(json.dumps(ORIGINAL_CALL)))
    assert ORIGINAL_CALL.items() <= config.to_mapping().items()


def test_defaults_are_the_original_s() -> None:
    named = {key: value for key, value in ORIGINAL_CALL.items() if key != "class_data_dir"}
    assert named.items() <= FineTuneConfig().to_mapping().items()


@given(st.data())
def test_every_value_of_the_wrong_kind_is_refused_by_name(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(FIELDS)))
    value = data.draw(_wrong_kind(name))
    with pytest.raises(ConfigError, match=rf"^{name} is"):
        FineTuneConfig.from_mapping({name: value})


@given(st.data())
def test_every_number_out_of_range_is_refused_by_name(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(NUMBERS)))
    limits = NUMBERS[name].metadata
    if NUMBERS[name].type == "int":
        outside = st.one_of(
            st.integers(max_value=limits["least"] - 1), st.integers(min_value=limits["most"] + 1)
        )
    else:
        outside = st.sampled_from([math.nan, math.inf, -math.inf, -1e-9, limits["most"] * 1.001])
    with pytest.raises(ConfigError, match=rf"^{name} is .* It must be"):
        FineTuneConfig.from_mapping({name: data.draw(outside)})


@pytest.mark.parametrize(
    ("name", "edge"),
    [("learning_rate", 0), ("lora_alpha", 0), ("lora_dropout", 1), ("n_steps", 0)],
)
def test_open_ends_are_outside(name: str, edge: float) -> None:
    with pytest.raises(ConfigError, match=name):
        FineTuneConfig.from_mapping({name: edge})


@given(st.fixed_dictionaries({name: _within(name) for name in NUMBERS}))
def test_every_number_in_range_survives_a_round_trip_as_json(values: dict[str, Any]) -> None:
    config = FineTuneConfig.from_mapping(values)
    assert FineTuneConfig.from_mapping(json.loads(json.dumps(config.to_mapping()))) == config
    assert all(getattr(config, name) == value for name, value in values.items())


def test_what_came_later_is_written_down_only_where_it_differs() -> None:
    """So configurations, and the cells and checkpoints named by them, keep their names."""
    later = {name: field for name, field in FIELDS.items() if field.metadata.get("later")}
    assert not later.keys() & FineTuneConfig().to_mapping().keys()
    for name, field in later.items():
        choices = field.metadata.get("choices")
        other = choices[-1] if choices else field.default / 2
        assert FineTuneConfig.from_mapping({name: other}).to_mapping()[name] == other


@pytest.mark.parametrize("name", SWITCHES)
def test_every_switch_can_be_off(name: str) -> None:
    assert FineTuneConfig.from_mapping({name: False}).to_mapping()[name] is False


@pytest.mark.parametrize(
    ("key", "meant"),
    [("n_step", "n_steps"), ("learning_rates", "learning_rate"), ("lora_rank", "lora_")],
)
def test_an_unknown_key_is_refused_with_the_closest_known_one(key: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=rf"Unknown configuration key '{key}'.*{meant}"):
        FineTuneConfig.from_mapping({key: 1})


@pytest.mark.parametrize("given", [None, [], "n_steps", 3])
def test_what_is_no_set_of_keys_is_refused(given: object) -> None:
    with pytest.raises(ConfigError, match="not a set of keys"):
        FineTuneConfig.from_mapping(given)


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../pocket", "https://example.org/base", "s3://bucket/base", "Pocket"]
)
def test_a_base_is_an_id_of_the_registry_and_nothing_else(name: str) -> None:
    with pytest.raises(ConfigError, match="base_model"):
        FineTuneConfig.from_mapping({"base_model": name})


@pytest.mark.parametrize("key", ["lora_bias", "lora_text_encoder_bias"])
def test_trained_biases_are_refused_because_the_adapter_cannot_hold_them(key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key}.*biases"):
        FineTuneConfig.from_mapping({key: "lora_only"})


@pytest.mark.parametrize("text", ["", "   ", "a\nb", "x" * 501, "\x00"])
def test_prompts_without_content_or_with_control_characters_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="concept_prompt"):
        FineTuneConfig.from_mapping({"concept_prompt": text})


def test_what_a_request_leaves_out_suits_the_base(tiny: BaseModel) -> None:
    config = FineTuneConfig.from_mapping({"n_steps": 7}, base=tiny)
    assert (config.n_steps, config.resolution, config.base_model) == (7, 64, "pocket")
    assert config.lora_alpha == config.lora_r
    assert config == FineTuneConfig.for_base(tiny, n_steps=7)


def test_a_request_for_another_base_is_refused(tiny: BaseModel) -> None:
    with pytest.raises(ConfigError, match=r"base_model is 'stabilityai.*here is 'pocket'"):
        FineTuneConfig.from_mapping(ORIGINAL_CALL, base=tiny)


@pytest.mark.parametrize(
    ("side", "fits"), [(32, 1), (64, 1), (72, 1), (128, 1), (136, 0), (512, 0)]
)
def test_a_base_trains_between_half_and_twice_its_own_size(
    tiny: BaseModel, side: int, fits: bool
) -> None:
    if fits:
        assert FineTuneConfig.from_mapping({"resolution": side}, base=tiny).resolution == side
    else:
        with pytest.raises(ConfigError, match="resolution"):
            FineTuneConfig.from_mapping({"resolution": side}, base=tiny)


@pytest.mark.parametrize("base_id", REGISTRY)
def test_every_base_has_sane_settings(base_id: str) -> None:
    assert FineTuneConfig.for_base(base_id).base_model == base_id


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        FineTuneConfig().n_steps = 0  # type: ignore[misc]
    with pytest.raises(ConfigError, match="n_steps"):
        FineTuneConfig().replace(n_steps=0)
