from __future__ import annotations

import base64
import io
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from helpers.errors import GenerationError
from helpers.hosting.picture import LONGEST_IN_JPEG, Painted

NOISE = Image.fromarray(
    np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8), "RGB"
)


@given(
    st.dictionaries(st.text(max_size=10), st.text() | st.integers() | st.none(), max_size=4),
    st.sampled_from(["png", "webp"]),
)
def test_picture_and_info_survive_the_journey(info: dict[str, object], kind: str) -> None:
    info = json.loads(json.dumps(info, ensure_ascii=True).encode())
    got = Painted.from_base64(Painted(image=NOISE, info=info).to_base64(kind))
    assert got.info == info
    assert np.array_equal(np.asarray(got.image), np.asarray(NOISE)), "lossless"


def test_a_webp_says_that_it_is_ai_generated_and_is_smaller() -> None:
    smooth = Painted(image=Image.radial_gradient("L").convert("RGB"), info={"seed": 1})
    data = smooth.to_webp()
    assert "trainedAlgorithmicMedia" in Image.open(io.BytesIO(data)).info["xmp"].decode()
    assert data == smooth.to_webp() and len(data) < len(smooth.to_png())


def test_the_file_says_that_it_is_ai_generated() -> None:
    data = Painted(image=NOISE, info={"seed": 1}).to_png()
    text = Image.open(io.BytesIO(data)).info
    assert text["Description"] == "AI generated"
    assert "trainedAlgorithmicMedia" in text["XML:com.adobe.xmp"]
    assert data == Painted(image=NOISE, info={"seed": 1}).to_png()


@given(st.text(max_size=60), st.sampled_from(["é", "\x01", "𝄞", '"', "x"]), st.integers(0, 8_000))
def test_a_jpeg_carries_its_provenance_whatever_the_prompt(
    begins: str, letter: str, times: int
) -> None:
    prompt = begins + letter * times
    info = {"source": "AI generated", "seed": 7, "prompt": prompt, "negative_prompt": prompt}
    data = Painted(image=NOISE, info={**info, "unread": {"prompt": ["a"] * 99}}).to_jpeg()
    short = prompt[:LONGEST_IN_JPEG]
    got = Painted.from_bytes(data)
    assert got.info == {**info, "prompt": short, "negative_prompt": short}
    assert "trainedAlgorithmicMedia" in Image.open(io.BytesIO(data)).info["xmp"].decode()


def test_a_jpeg_is_nearly_the_picture() -> None:
    flat = Image.linear_gradient("L").resize((64, 64)).convert("RGB")
    got = Painted.from_bytes(Painted(image=flat).to_jpeg()).image
    assert got.size == flat.size
    assert np.abs(np.asarray(got, int) - np.asarray(flat, int)).max() <= 6


@pytest.mark.parametrize("comment", [b"made by hand", b"[1]", b"\xff\xfe", b"7"])
def test_a_stranger_s_comment_is_no_info(comment: bytes) -> None:
    jpeg = io.BytesIO()
    NOISE.save(jpeg, "JPEG", comment=comment)
    assert Painted.from_bytes(jpeg.getvalue()).info == {}


def test_a_picture_of_the_original_service_is_read_without_info() -> None:
    jpeg = io.BytesIO()
    NOISE.save(jpeg, "JPEG")
    got = Painted.from_bytes(jpeg.getvalue())
    assert (got.image.size, got.info, got.unread) == (NOISE.size, {}, {})


@pytest.mark.parametrize(
    "text", ["", "no base64!", base64.b64encode(b"no picture").decode(), "iVBORw0KGgo="]
)
def test_what_is_no_picture_is_said_so(text: str) -> None:
    with pytest.raises(GenerationError, match="no picture"):
        Painted.from_base64(text)


def test_the_callers_side_needs_no_torch() -> None:
    code = "import sys, helpers.hosting.client; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
