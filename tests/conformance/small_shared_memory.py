"""What a real Triton does in a /dev/shm of 64 MB; run by ``test_shared_memory`` in a namespace of
its own: ``python -m tests.conformance.small_shared_memory REPOSITORY ARCHIVE WORK``.

Prints a JSON object. At the image's default of 16 MB a region, four models fill it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from helpers.archives import unpack
from helpers.cloud.environment import SHARED_MEMORY
from helpers.hosting.client import decode_output, encode_request
from helpers.local.multi_model import MultiModelHost
from helpers.local.triton import TritonServer
from helpers.local.triton_host import IMAGE_DEFAULT_BYTES


def main() -> None:
    repository, archive, work = map(Path, sys.argv[1:])
    found: dict[str, Any] = {"size": shutil.disk_usage("/dev/shm").total, "served": []}
    with TritonServer().start(
        repository, work / "server", {SHARED_MEMORY: str(IMAGE_DEFAULT_BYTES)}, timeout=60
    ) as server:
        host = MultiModelHost(
            server, lambda key: archive.read_bytes(), work / "server", max_loaded=99
        )
        for number in range(4):  # one more than there is room for
            status, body, _ = host.invoke(f"avatars/{number}.tar.gz", encode_request("a dog"))
            said = decode_output(body, "generated_image") if status == 200 else body.decode()
            found["served"].append(json.loads(said).get("prompt", said))
        found["evictions"], last = host.metrics["evictions"], host.metrics["loaded"][-1]
        url = work / "one-more" / "model"
        unpack(archive, url)
        answers = [server.load("more", url, "avatars/more.tar.gz")]
        name = hashlib.sha256(last.encode()).hexdigest()[:32]
        for prompt in ("x" * (IMAGE_DEFAULT_BYTES + 1000), "a dog"):
            answers.append(server.invoke(name, encode_request(prompt), last))
        found["answers"] = [[one.status, one.error] for one in answers]
    found["left"] = sorted(file.name for file in Path("/dev/shm").iterdir())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
