"""The content types that the toolkit reads and writes by itself."""

JSON = "application/json"
CSV = "text/csv"
NPY = "application/x-npy"
OCTET_STREAM = "application/octet-stream"
ANY = "*/*"
UTF8_TYPES = [JSON, CSV]
"""A body of these types reaches ``input_fn`` as text, every other one as bytes."""

IMAGE_TYPES = [f"image/{kind}" for kind in ("jpeg", "png", "tiff", "bmp", "gif", "webp", "x-image")]
AUDIO_TYPES = [f"audio/{kind}" for kind in ("x-flac", "mpeg", "wave", "ogg", "x-audio")]
