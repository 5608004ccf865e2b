"""Looking at processes."""

from __future__ import annotations

import subprocess
import time


def ended(pid: int, *, within_s: float = 5) -> bool:
    """Whether a process is gone, or dead and waiting to be reaped."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        look = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
        if not look.stdout.strip() or look.stdout.strip().startswith("Z"):
            return True
        time.sleep(0.05)
    return False
