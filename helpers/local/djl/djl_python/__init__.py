"""The part of DJL Serving's Python package that a handler uses: ``Input`` and ``Output``.

DJL Serving is on no package index; inside its container the real package takes this one's place.
Only what the handler contract needs is here: no rolling batches, no numpy lists.
"""

from .inputs import Input
from .outputs import Output

__all__ = ["Input", "Output"]
