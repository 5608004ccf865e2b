"""Input that lies: one row for each lie, with the door it knocks at and what the refusal names."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from helpers.bases.keys import encoder_keys
from helpers.errors import (
    AdapterError,
    ArchiveError,
    BaseModelError,
    ConfigError,
    CourseError,
    GenerationError,
    PhotoError,
    ServiceError,
    SettingsError,
)
from helpers.tuning.adapter import MANIFEST, WEIGHTS
from tests.hostile.forge import (
    MIB,
    adapter,
    base,
    member,
    picture,
    png_claiming,
    tar,
    tensors,
    weights,
    with_note,
    written,
)

SECRET = "MUSHROOM"
"""Holds OOM: a refusal that repeats it would make Triton throw a model out of memory."""
DEEP = b"[" * 100_000
RTL, ZERO_WIDTH, HALF = "\u202e", "\u200b", "\ud800"
COMPOSED, APART = "caf\u00e9.jpg", "cafe\u0301.jpg"
CYRILLIC_CONFIG = "c\u043enfig.json"


@dataclass(frozen=True)
class Case:
    """``door`` and ``name`` say what it is; ``make`` makes it; the refusal is an ``error`` whose
    words match ``names``, whatever their case."""

    door: str
    name: str
    make: Callable[[], Any]
    error: type[CourseError]
    names: str


def _members(*rows: tuple[tarfile.TarInfo | str, bytes]) -> Callable[[], bytes]:
    return lambda: tar(("good.jpg", picture()), *rows)


def _zip() -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr("a.jpg", picture())
    return raw.getvalue()


def _sparse() -> bytes:
    info = member("hole.bin", tarfile.GNUTYPE_SPARSE)
    return tar((info, b""))


_SPECIAL = {
    "symbolic link": (member("link", tarfile.SYMTYPE, "/etc/passwd"), "'link'.*link"),
    "hard link": (member("twin", tarfile.LNKTYPE, "good.jpg"), "'twin'.*link"),
    "character device": (member("tty", tarfile.CHRTYPE), "'tty'.*device"),
    "block device": (member("disk", tarfile.BLKTYPE), "'disk'.*device"),
    "named pipe": (member("pipe", tarfile.FIFOTYPE), "'pipe'.*special"),
}
_NAMES = {
    "a path that climbs": ("../../up.jpg", "climbs"),
    "a path that climbs from inside": ("a/../../up.jpg", "climbs"),
    "an absolute path": ("/etc/passwd", "absolute"),
    "a drive letter": ("C:/a.jpg", "absolute"),
    "backslashes": ("..\\up.jpg", "backslash"),
    "text turned round (RTL override)": (f"gpj{RTL}exe.jpg", r"\\u202e.*unprintable"),
    "a zero-width letter": (f"a{ZERO_WIDTH}.jpg", r"\\u200b.*unprintable"),
    "a line break": ("a\nb.jpg", r"\\n.*unprintable"),
    "a name of 300 letters": ("x" * 300, "too long"),
    "forty folders": ("d/" * 40 + "a", "too deep"),
    "a path no disk takes": ("/".join(["y" * 200] * 30), "too long"),
}

_ARCHIVES = [
    *(Case("request", name, _members((info, b"")), ArchiveError, names)
      for name, (info, names) in _SPECIAL.items()),
    *(Case("unpack", f"a member with {name}", _members((given, b"x")), ArchiveError, names)
      for name, (given, names) in _NAMES.items()),
    Case("request", "0 bytes", lambda: b"", ArchiveError, "empty"),
    Case("request", "a ZIP", _zip, ArchiveError, "zip.*tar.gz"),
    Case("request", "a picture instead of an archive", picture, ArchiveError, "not a .tar.gz"),
    Case("request", "an archive cut in the middle",
         lambda: tar(("a.jpg", np.random.default_rng(0).bytes(50_000)))[:20_000],
         ArchiveError, "damaged"),
    Case("request", "an archive with a flipped byte",
         lambda: tar(("a.jpg", picture()), compress=False).replace(b"ustar", b"ustaz", 1),
         ArchiveError, "archive"),
    Case("request", "a member twice", _members(("good.jpg", b"other")), ArchiveError,
         "'good.jpg'.*twice"),
    Case("request", "one name in two Unicode forms (NFC and NFD)",
         lambda: tar((COMPOSED, picture()), (APART, picture())), ArchiveError, "same name"),
    Case("request", "a file that is a folder too", _members(("good.jpg/a", b"x")), ArchiveError,
         "file and a folder"),
    Case("unpack", "a sparse file", _sparse, ArchiveError, "hole.bin.*sparse"),
    Case("unpack", "a bomb: 40 MiB of zeros in 40 KiB", lambda: tar(("zeros", bytes(40 * MIB))),
         ArchiveError, "MiB"),
    Case("unpack", "a name of 3 MiB (pax header)", lambda: with_note(3 * MIB), ArchiveError,
         "says of itself"),
    Case("request", "more members than photos allowed",
         lambda: tar(*((f"{n}.txt", b"") for n in range(301))), ArchiveError, "300 members"),
    Case("request", "101 photos",
         lambda: tar(*((f"{n}.jpg", picture(size=(32, 32))) for n in range(101))), PhotoError,
         "too many photos"),
    Case("request", "photos in a folder alone", lambda: tar(("d/a.jpg", picture())), PhotoError,
         "d/a.jpg.*root"),
    Case("request", "a program called a photo's name", lambda: tar(("a.jpg.exe", b"MZ")),
         PhotoError, "a.jpg.exe.*no .jpg"),
    Case("request", "a configuration whose name only looks right (Cyrillic o)",
         lambda: tar((CYRILLIC_CONFIG, b"{}"), ("b.txt", b"x")), PhotoError, "in plain letters"),
]  # fmt: skip


def _photo(name: str, content: Callable[[], bytes], names: str, of: str = "a.jpg") -> Case:
    return Case("photo", name, lambda: (of, content()), PhotoError, f"{of}.*({names})")


_PHOTOS = [
    _photo("0 bytes", lambda: b"", "empty"),
    _photo("1 x 1 pixels", lambda: picture(size=(1, 1)), "1 x 1"),
    _photo("31 pixels high", lambda: picture(size=(64, 31)), "64 x 31"),
    _photo("2 x 20,000 pixels", lambda: picture(size=(2, 20_000)), "too few"),
    _photo("100 megapixels", lambda: png_claiming(10_000, 10_000), "80 million", "a.png"),
    _photo("a bomb that claims 4 gigapixels", lambda: png_claiming(65_000, 65_000), "80 million",
           "a.png"),
    _photo("a bomb in a PNG's comment: 70 MiB of text",
           lambda: png_claiming(64, 64, text=bytes(70 * MIB)), "damaged", "a.png"),
    _photo("0 x 0 pixels", lambda: png_claiming(0, 0), "truncated|not a picture", "a.png"),
    _photo("a JPEG cut in the middle", lambda: picture(size=(400, 300))[:1500], "truncated"),
    _photo("a PNG cut in the middle", lambda: picture("PNG", (400, 300))[:600], "truncated",
           "a.png"),
    _photo("a text with a photo's suffix", lambda: b"these are my photos" * 9, "not a picture"),
    _photo("a web page with a photo's suffix", lambda: b"<html><script>x</script>", "not a pict"),
    _photo("an SVG with a photo's suffix", lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>",
           "not a picture", "a.png"),
    _photo("a PDF that begins like one and holds a photo", lambda: b"%PDF-1.7\n" + picture(),
           "not a picture"),
    _photo("a ZIP with a photo's suffix", _zip, "not a picture"),
    _photo("HEIC renamed to JPEG", lambda: b"\0\0\0\x18ftypheic" + bytes(100), "HEIC"),
    _photo("a PostScript program", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
           "not a picture"),
    Case("photo", "a name turned round (RTL override)", lambda: (f"gpj{RTL}.jpg", b"x"),
         PhotoError, r"gpj\\u202e.jpg"),
    Case("photo", "a name of 100,000 letters", lambda: ("x" * 100_000, b"x"), PhotoError,
         r"xxx\.\.\."),
    Case("photo", "a name with a line break and a forged message",
         lambda: ("a\nAll is well.jpg", b"x"), PhotoError, r"a\\nAll"),
    Case("photos", "a folder of HEIC", lambda: {"IMG_1.HEIC": b"x"}, PhotoError, "IMG_1.HEIC"),
    Case("photos", "a folder without a photo", lambda: {"notes.txt": b"x"}, PhotoError,
         "no usable photo"),
    Case("photos", "only damaged photos", lambda: {"a.jpg": picture()[:300]}, PhotoError,
         "a.jpg: it is truncated"),
]  # fmt: skip


def _config(name: str, text: str | bytes, names: str) -> Case:
    content = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return Case("config.json", name, lambda: content, ConfigError, names)


_CONFIGURATIONS = [
    _config("an unknown key", '{"n_stepz": 3}', "n_stepz.*n_steps"),
    _config("an unknown key of 100,000 letters", json.dumps({"k" * 100_000: 1}), r"kkk\.\.\."),
    _config("an unknown key turned round", json.dumps({f"n{RTL}": 1}), r"n\\u202e"),
    _config("a key with a zero-width letter", json.dumps({f"n_steps{ZERO_WIDTH}": 1}),
            r"n_steps\\u200b.*n_steps"),
    _config("a key with a Cyrillic look-alike", json.dumps({"s\u0435ed": 1}), "s.ed.*seed"),
    _config("a key twice", '{"n_steps": 1, "n_steps": 2}', "n_steps.*twice"),
    _config("a key twice, deep inside", '{"n_steps": {"a": 1, "a": 2}}', "'a'.*twice"),
    _config("NaN", '{"learning_rate": NaN}', "NaN"),
    _config("minus infinity", '{"learning_rate": -Infinity}', "Infinity"),
    _config("infinity in digits", '{"learning_rate": 1e999}', "1e999.*too large"),
    _config("a number of 10,000 digits", b'{"seed": ' + b"9" * 10_000 + b"}", "config.json"),
    _config("a number of 400 digits", b'{"n_steps": ' + b"9" * 400 + b"}", "n_steps.*huge"),
    _config("a text for a number", '{"n_steps": "many"}', "n_steps.*whole number"),
    _config("a text turned round for a number", json.dumps({"n_steps": f"1{RTL}"}),
            r"n_steps.*\\u202e"),
    _config("half a character for a number", '{"n_steps": "\\ud800"}', r"n_steps.*\\ud800"),
    _config("a fraction for a whole number", '{"n_steps": 1.5}', "n_steps.*whole number"),
    _config("a switch for a number", '{"n_steps": true}', "n_steps"),
    _config("a number for a switch", '{"fp16": 1}', "fp16.*true or false"),
    _config("a list for a text", '{"concept_prompt": ["a"]}', "concept_prompt.*text"),
    _config("null for a number", '{"seed": null}', "seed"),
    _config("0 steps", '{"n_steps": 0}', "n_steps.*at least 1"),
    _config("a resolution that no block fits", '{"resolution": 100}', "resolution.*96"),
    _config("a prompt of 10,000 letters", json.dumps({"concept_prompt": "x" * 10_000}),
            "concept_prompt.*500"),
    _config("a prompt turned round", json.dumps({"concept_prompt": f"a {RTL}dog"}),
            "concept_prompt.*printable"),
    _config("half a character in a prompt", '{"concept_prompt": "a \\udc00 dog"}',
            "concept_prompt.*printable"),
    _config("a path for a base", '{"base_model": "../../etc"}', "base_model.*registry"),
    _config("an address for a base", '{"base_model": "https://example.com/x"}', "base_model"),
    _config("a list", "[1]", "list"),
    _config("no JSON", "{n_steps: 3}", "config.json.*line 1"),
    _config("100,000 brackets", DEEP, "config.json.*(deep|not JSON)"),
    _config("2 MiB of spaces", b" " * (2 * MIB), "config.json.*1 MiB"),
    _config("another encoding", '{"seed": 1}'.encode("utf-16"), "UTF-8"),
    Case("hyperparameters", "an unknown name", lambda: {"epoch": "1"}, ConfigError, "epochs"),
    Case("hyperparameters", "NaN", lambda: {"learning_rate": "nan"}, ConfigError, "learning_rate"),
    Case("hyperparameters", "infinity", lambda: {"max_grad_norm": "inf"}, ConfigError,
         "max_grad_norm"),
    Case("hyperparameters", "a number of 400 digits", lambda: {"epochs": "9" * 400}, ConfigError,
         r"epochs.*\.\.\."),
    Case("hyperparameters", "a number of 10,000 digits", lambda: {"seed": "9" * 10_000},
         ConfigError, "seed"),
    Case("hyperparameters", "a text turned round", lambda: {"epochs": f"1{RTL}"}, ConfigError,
         r"epochs.*\\u202e"),
    Case("hyperparameters", "a switch that is neither", lambda: {"center_crop": "maybe"},
         ConfigError, "center_crop.*True or False"),
    Case("data set", "100,000 brackets for its prompts",
         lambda: {"a.jpg": picture(), "dataset_info.json": DEEP}, ConfigError,
         "dataset_info.json"),
    Case("data set", "a prompt twice",
         lambda: {"a.jpg": picture(), "dataset_info.json":
                  b'{"instance_prompt": "a", "instance_prompt": "b", "class_prompt": "c"}'},
         ConfigError, "dataset_info.json"),
    Case("data set", "a prompt that is a number",
         lambda: {"a.jpg": picture(), "dataset_info.json":
                  b'{"instance_prompt": 1, "class_prompt": "c"}'},
         ConfigError, "dataset_info.json"),
    Case("data set", "a damaged image", lambda: {"a.jpg": b"x"}, PhotoError, "a.jpg"),
    Case("settings", "an unknown variable", lambda: {"AVATAR_BACKENT": "aws"}, SettingsError,
         "AVATAR_BACKENT"),
    Case("settings", "hours that are NaN", lambda: {"AVATAR_HOURS": "nan"}, SettingsError,
         "AVATAR_HOURS"),
    Case("settings", "endless hours", lambda: {"AVATAR_HOURS": "inf"}, SettingsError,
         "AVATAR_HOURS"),
    Case("settings", "10,000 digits of threads", lambda: {"AVATAR_THREADS": "9" * 10_000},
         SettingsError, r"AVATAR_THREADS.*\.\.\."),
    Case("settings", "a billion threads", lambda: {"AVATAR_THREADS": "1000000000"},
         SettingsError, "AVATAR_THREADS.*1024"),
    Case("settings", "a host name for a region", lambda: {"AVATAR_REGION": "evil.example/#"},
         SettingsError, "AVATAR_REGION"),
    Case("settings", "a learner that climbs", lambda: {"AVATAR_LEARNER": "../x"}, SettingsError,
         "AVATAR_LEARNER"),
    Case("settings", "a home of nobody", lambda: {"AVATAR_OUTPUTS": "~nobody-of-that-name/x"},
         SettingsError, "AVATAR_OUTPUTS"),
    Case("settings", "a path with a NUL", lambda: {"AVATAR_STATE": "a\0b"}, SettingsError,
         r"AVATAR_STATE.*\\x00"),
    Case("prices", "100,000 brackets", lambda: DEEP, SettingsError, "AVATAR_PRICES.*prices.json"),
    Case("prices", "a price of NaN",
         lambda: b'{"date": "x", "prices": {"us-east-1": {"ml.g5.xlarge": NaN}}}', SettingsError,
         "prices.json"),
]  # fmt: skip


def _v2(name: str, names: str, args: object = None, prompt: Any = "a dog", no: Any = None) -> Case:
    text = args if isinstance(args, str | None) else json.dumps(args)
    return Case("V2 JSON", name, lambda: (prompt, no, text), GenerationError, names)


def _real_time(name: str, names: str, **body: Any) -> Case:
    whole = {"prompt": "a dog", **body}
    return Case("real-time JSON", name, lambda: json.dumps(whole), GenerationError, names)


def _answer(door: str, name: str, body: bytes, error: type[CourseError], names: str) -> Case:
    return Case(door, name, lambda: body, error, names)


_LAST = b'{"outputs": [{"name": "generated_image", "shape": [1, 1], "data": [%s]}]}'
_CALLS = [
    _v2("an unknown key", "key", {SECRET: 1}),
    _v2("a key twice", "gen_args.*twice", f'{{"seed": 1, "seed": "{SECRET}"}}'),
    _v2("NaN", "guidance_scale", '{"guidance_scale": NaN}'),
    _v2("infinity in digits", "guidance_scale", '{"guidance_scale": 1e999}'),
    _v2("a scale of 400 digits", "guidance_scale", {"guidance_scale": 10**400}),
    _v2("a number of 10,000 digits", "gen_args", '{"seed": ' + "9" * 10_000 + "}"),
    _v2("100,000 brackets", "gen_args.*deep", DEEP.decode()),
    _v2("no object", "gen_args.*object", [SECRET]),
    _v2("no JSON", "gen_args", SECRET),
    _v2("a text for a seed", "seed.*whole number", {"seed": SECRET}),
    _v2("a list for a scheduler", "scheduler.*one of", {"scheduler": [SECRET]}),
    _v2("a text for a switch", "label.*true or false", {"label": SECRET}),
    _v2("a billion steps", "num_inference_steps.*100", {"num_inference_steps": 10**9}),
    _v2("a picture of 100,000 pixels a side", "width.*128", {"width": 100_000}),
    _v2("a million pictures", "num_images_per_prompt.*8", {"num_images_per_prompt": 10**6}),
    _v2("an empty prompt", "prompt is empty", prompt="  "),
    _v2("a prompt of 100,000 letters", "prompt.*too long", prompt=SECRET * 12_500),
    _v2("half a character in a prompt", "prompt.*half", prompt=SECRET + HALF),
    _v2("half a character in a negative prompt", "negative_prompt.*half", no=SECRET + HALF),
    _v2("a number for a prompt", "prompt.*text", prompt=5),
    _real_time("an unknown key", "key", **{SECRET: 1}),
    _real_time("33 pictures", "num_images_per_prompt", num_images_per_prompt=33),
    _real_time("both names of a prompt", "prompt and inputs", inputs=SECRET),
    _real_time("an object for a prompt", "prompt", prompt={SECRET: 1}),
    _real_time("a list with a number", "prompt.*text", prompt=[SECRET, 3]),
    _real_time("half a character in a prompt", "prompt.*half", prompt=SECRET + HALF),
    _real_time("a scale of 400 digits", "guidance_scale", guidance_scale=10**400),
    _answer("V2 answer", "100,000 brackets", DEEP, ServiceError, "generated_image"),
    _answer("V2 answer", "no output", b'{"outputs": []}', ServiceError, "generated_image"),
    _answer("V2 answer", "a shape that lies", _LAST.replace(b"[1, 1]", b"[1, 9]") % b'"x"',
            ServiceError, "generated_image"),
    _answer("V2 answer", "no base64", _LAST % b'"***"', GenerationError, "base64"),
    _answer("V2 answer", "a bomb of a picture",
            _LAST % json.dumps(base64.b64encode(
                png_claiming(65_000, 65_000)).decode()).encode(),
            GenerationError, "no picture"),
    _answer("real-time answer", "100,000 brackets", DEEP, ServiceError, "generated_images"),
    _answer("real-time answer", "a number for pictures", b'{"generated_images": 5}', ServiceError,
            "generated_images"),
    _answer("real-time answer", "a picture that is null", b'{"generated_images": [null]}',
            GenerationError, "base64"),
    _answer("real-time answer", "an infinite count",
            b'{"generated_images": [], "num_images_per_prompt": 1e999}', ServiceError,
            "generated_images"),
]  # fmt: skip


def _weights(name: str, names: str, content: Callable[[], bytes], **facts: Any) -> Case:
    return Case("adapter", name, lambda: adapter(content(), **facts), AdapterError, names)


def _manifest(name: str, **facts: Any) -> Case:
    key = next(iter(facts))
    return Case("adapter", name, lambda: adapter(**facts), AdapterError, f"adapter.json.*{key}")


def _raw_manifest(name: str, content: bytes, names: str) -> Case:
    return Case("adapter", name, lambda: {**adapter(), MANIFEST: content}, AdapterError, names)


def _changed(**changes: np.ndarray) -> Callable[[], bytes]:
    return lambda: save(weights(**changes))


def _words(name: str, names: str, content: Callable[[], bytes]) -> Case:
    return Case("adapter", name, lambda: adapter(words=content()), AdapterError, names)


def _linked_weights(room: Path) -> None:
    files = adapter()
    written({"elsewhere": files.pop(WEIGHTS)}, room.parent)
    written(files, room)
    (room / WEIGHTS).symlink_to(room.parent / "elsewhere")


_F16 = {"dtype": "F16", "shape": [2, 2]}
_KEYS = list(weights())
_FILE = "pytorch_lora_weights.safetensors"
_ADAPTERS = [
    _weights("weights of 0 bytes", f"{_FILE} cannot be read", lambda: b""),
    _weights("a pickle called safetensors", f"{_FILE} cannot be read",
             lambda: b"\x80\x04c__builtin__\nexec\n."),
    _weights("a header longer than the file", f"{_FILE} cannot be read",
             lambda: tensors({}, length=2**40)),
    _weights("a header length of 2^64 - 1", f"{_FILE} cannot be read",
             lambda: b"\xff" * 8 + b"{}"),
    _weights("a header of 100,000 brackets", f"{_FILE} cannot be read", lambda: tensors(DEEP)),
    _weights("offsets past the end", f"{_FILE} cannot be read",
             lambda: tensors({"a": {**_F16, "data_offsets": [0, 8]}})),
    _weights("offsets that overlap", f"{_FILE} cannot be read",
             lambda: tensors({key: {**_F16, "data_offsets": [0, 8]} for key in "ab"}, bytes(8))),
    _weights("a shape that is not the data's", f"{_FILE} cannot be read",
             lambda: tensors({"a": {"dtype": "F16", "shape": [9, 9], "data_offsets": [0, 8]}},
                             bytes(8))),
    _weights("a shape whose product overflows", f"{_FILE} cannot be read",
             lambda: tensors({"a": {"dtype": "F16", "shape": [2**62, 2**62],
                                    "data_offsets": [0, 8]}}, bytes(8))),
    _weights("data that no tensor names", f"{_FILE} cannot be read",
             lambda: save(weights()) + bytes(8)),
    _weights("no tensor", "no tensors", lambda: tensors({})),
    _weights("whole numbers (I64)", "to_q.lora_A.*I64", _changed(A=np.ones((4, 8), np.int64))),
    _weights("switches (BOOL)", "to_q.lora_B.*BOOL", _changed(B=np.ones((8, 4), bool))),
    _weights("double precision (F64)", "to_q.lora_A.*F64", _changed(A=np.ones((4, 8)))),
    _weights("NaN in a tensor", "to_q.lora_A.*not finite",
             _changed(A=np.full((4, 8), np.nan, np.float16))),
    _weights("infinity in a tensor", "to_q.lora_B.*not finite",
             _changed(B=np.full((8, 4), np.inf, np.float32))),
    _weights("another rank than it says", "to_q.lora_A.*manifest",
             _changed(A=np.ones((5, 8), np.float16))),
    _weights("three dimensions", "to_q.lora_A.*manifest",
             _changed(A=np.ones((4, 8, 1), np.float16))),
    _weights("no dimension", "to_q.lora_A.*manifest",
             lambda: tensors({_KEYS[0]: {**_F16, "shape": [], "data_offsets": [0, 2]}}, bytes(2))),
    _weights("a tensor of no numbers", "to_q.lora_B.*no numbers",
             _changed(B=np.ones((0, 4), np.float16))),
    _weights("half of a pair", "to_q.lora_A.*manifest",
             lambda: save({_KEYS[0]: np.ones((4, 8), np.float16)})),
    _weights("a tensor for another network", "vae.*manifest",
             lambda: save({"vae.x.lora_A.weight": np.ones((4, 8), np.float16)})),
    _weights("a tensor's name turned round", r"\\u202e",
             lambda: save({f"unet.{RTL}.lora_A.weight": np.ones((4, 8), np.float16)})),
    _weights("other weights than its manifest names", f"{_FILE} is not", lambda: save(weights()),
             sha256="0" * 64),
    _manifest("a base that is a number", base_model=5),
    _manifest("no rank", rank=...),
    _manifest("a rank that is true", rank=True),
    _manifest("a rank below 0", rank=-4),
    _manifest("a strength that is a text", alpha="strong"),
    _manifest("layers that are numbers", targets={"unet": [1]}),
    _manifest("a class noun of 100,000 letters", class_noun="x" * 100_000),
    _manifest("a class noun with a line break", class_noun="dog\n"),
    _manifest("a prompt turned round", prompt=f"a {RTL}dog"),
    _manifest("half a character in its token", token=HALF),
    _manifest("a configuration that is a list", configuration=[]),
    _manifest("subjects that are texts", subjects=["x"]),
    Case("adapter", "a format of the future", lambda: adapter(format=9), AdapterError,
         "format is 9"),
    _raw_manifest("a manifest of 100,000 brackets", DEEP, "adapter.json"),
    _raw_manifest("a manifest with a key twice", b'{"rank": 1, "rank": 2}', "rank.*twice"),
    _raw_manifest("a manifest with NaN", b'{"alpha": NaN}', "adapter.json.*NaN"),
    _raw_manifest("a manifest that is a list", b"[]", "adapter.json.*object"),
    _raw_manifest("a manifest that is no UTF-8", b"\xff\xff", "adapter.json"),
    Case("adapter", "no manifest", lambda: {WEIGHTS: save(weights())}, AdapterError,
         "adapter.json is missing"),
    Case("adapter", "weights that are a link", lambda: _linked_weights, AdapterError,
         f"{_FILE} is missing"),
    _words("learned words that are no safetensors", "learned_embeds.safetensors", lambda: b"x"),
    _words("a learned word of NaN", "learned_embeds.safetensors.*<x>",
           lambda: save({"<x>": np.full((1, 8), np.nan, np.float32)})),
    _words("a learned word without rows", "learned_embeds.safetensors",
           lambda: save({"<x>": np.ones(8, np.float32)})),
    _words("learned words of two widths", "learned_embeds.safetensors",
           lambda: save({"a": np.ones((1, 8), np.float32), "b": np.ones((1, 9), np.float32)})),
    _words("a learned word turned round", r"learned_embeds.safetensors.*\\u202e",
           lambda: save({RTL: np.ones((1, 8), np.float32)})),
    Case("adapter archive", "a program beside the adapter",
         lambda: tar(*adapter().items(), ("model.py", b"import os")), ArchiveError, "model.py"),
    Case("adapter archive", "a pickle instead of safetensors",
         lambda: tar(("pytorch_lora_weights.bin", b"\x80\x04."),
                     (MANIFEST, adapter()[MANIFEST])), ArchiveError, "pytorch_lora_weights.bin"),
    Case("adapter archive", "a manifest that climbs", lambda: tar((f"../{MANIFEST}", b"{}")),
         ArchiveError, "climbs"),
]  # fmt: skip


def _base(name: str, names: str, door: str = "base", **changes: bytes) -> Case:
    renamed = {key.replace("_DOT_", "."): content for key, content in changes.items()}
    return Case(door, name, lambda: base(**renamed), BaseModelError, names)


def _stored(name: str, content: object) -> Case:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Case("stored base", name, lambda: raw, BaseModelError, "manifest.*base.json")


def _listing(name: str, names: str, files: object) -> Case:
    """A base whose own ``base.json`` lists ``files``."""

    def make() -> dict[str, bytes]:
        from helpers.bases.folder import combined_hash
        from helpers.bases.registry import PARTS

        whole, sums = base(), {}
        for part in PARTS:
            name = next(name for name in whole if name.startswith(f"{part}/") and "safe" in name)
            sums[part] = {name.partition("/")[2]: hashlib.sha256(
                whole[name]).hexdigest()}  # fmt: skip
        told = {"id": "pocket", "hash": combined_hash(sums), "licence": "text", "files": files}
        return {**whole, "base.json": json.dumps(told).encode()}

    return Case("base to prepare", name, make, BaseModelError, names)


_BASES = [
    _base("an index of 100,000 brackets", "model_index.json", "base to prepare",
          model_index_DOT_json=DEEP),
    _base("a configuration of 100,000 brackets", "unet/config.json.*deep",
          unet__config_DOT_json=DEEP),
    _base("a key twice", "unet/config.json.*twice",
          unet__config_DOT_json=b'{"sample_size": 1, "sample_size": 2}'),
    _base("an infinite width", "unet/config.json", unet__config_DOT_json=
          b'{"cross_attention_dim": 1e999, "sample_size": 16}'),
    _base("a width of 400 digits", "cross_attention_dim", unet__config_DOT_json=
          b'{"cross_attention_dim": ' + b"9" * 400 + b', "sample_size": 16}'),
    _base("a list for a width", "cross_attention_dim", unet__config_DOT_json=
          b'{"cross_attention_dim": [1], "sample_size": 16}'),
    _base("a million blocks", "block_out_channels", vae__config_DOT_json=
          json.dumps({"block_out_channels": [1] * 1_000_000}).encode()),
    _base("a prediction nobody knows", r"scheduler_config.json.*\\u202e",
          scheduler__scheduler_config_DOT_json=json.dumps({"prediction_type": f"x{RTL}"}).encode()),
    _base("a configuration that is a list", "vae/config.json", vae__config_DOT_json=b"[]"),
    Case("base", "pickles instead of safetensors",
         lambda: {name.replace(".safetensors", ".bin"): content
                  for name, content in base().items()}, BaseModelError, "safetensors"),
    Case("base", "no index", lambda: {"unet/config.json": b"{}"}, BaseModelError,
         "model_index.json"),
    _base("a manifest for another base", "base.json", base_DOT_json=b'{"id": "pocket"}'),
    _base("a manifest whose id is a list", "base.json",
          base_DOT_json=json.dumps({"id": ["x" * 10_000], "hash": RTL}).encode()),
    _base("a text encoder of a billion layers", "num_hidden_layers", "base to prepare",
          text_encoder__config_DOT_json=b'{"num_hidden_layers": 1000000000}'),
    _base("a text encoder of no layers", "num_hidden_layers", "base to prepare",
          text_encoder__config_DOT_json=b"{}"),
    _base("an encoder with a header of 100,000 brackets", "model.safetensors", "base to prepare",
          text_encoder__model_DOT_safetensors=tensors(DEEP)),
    _base("an encoder with a header longer than the file", "model.safetensors", "base to prepare",
          text_encoder__model_DOT_safetensors=tensors({}, length=2**40)),
    _base("an encoder with a key twice", "model.safetensors", "base to prepare",
          text_encoder__model_DOT_safetensors=tensors(b'{"a": {}, "a": {}}')),
    _base("an encoder with a stray tensor", r"left over.*\\u202e", "base to prepare",
          text_encoder__model_DOT_safetensors=save({key: np.ones(1, np.float32)
              for key in [*encoder_keys({"num_hidden_layers": 1}), RTL]})),
    _base("a pipeline of another kind", r"Evil\\u202e", "base to prepare",
          model_index_DOT_json=json.dumps({"_class_name": f"Evil{RTL}"}).encode()),
    _listing("a manifest that lists a file outside", r"\.\./secret",
             {"../secret": {"sha256": "0" * 64}}),
    _listing("a manifest that lists an absolute path", "/etc/hostname",
             {"/etc/hostname": {"sha256": "0" * 64}}),
    _listing("a manifest whose list is a text", "list of files", "all of them"),
    _listing("a manifest without hashes", "unet/config.json", {"unet/config.json": "sound"}),
    _stored("100,000 brackets", DEEP),
    _stored("a file that climbs", {"files": {"../x": {"bytes": 1, "sha256": "a" * 64}}}),
    _stored("an absolute path", {"files": {"/x": {"bytes": 1, "sha256": "a" * 64}}}),
    _stored("a size below 0", {"files": {"x": {"bytes": -1, "sha256": "a" * 64}}}),
    _stored("a size that is true", {"files": {"x": {"bytes": True, "sha256": "a" * 64}}}),
    _stored("a hash that is none", {"files": {"x": {"bytes": 1, "sha256": "z" * 64}}}),
    _stored("a list of files that is a list", {"files": ["x"]}),
]  # fmt: skip

CASES = [*_ARCHIVES, *_PHOTOS, *_CONFIGURATIONS, *_CALLS, *_ADAPTERS, *_BASES]
