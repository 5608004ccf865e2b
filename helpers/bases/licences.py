"""The licences of base models: what they ask, in a few words, and where their text stands."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Licence:
    """A licence. ``spdx`` is its identifier; a ``LicenseRef-`` is none of the SPDX list.

    ``restrictions`` is our summary and binds nobody: the text at ``address`` counts.
    ``to_accept`` says whether the learner has to agree before a base under it is used.
    """

    name: str
    spdx: str
    address: str
    restrictions: str
    to_accept: bool = True

    def __str__(self) -> str:
        return f"{self.name} ({self.spdx})\n    text: {self.address}\n    {self.restrictions}"


_USES = (
    "Not for: breaking the law; harming minors; false information meant to harm; personal data "
    "that can harm somebody; defaming or harassing; automated decisions against a person's "
    "rights; discrimination; exploiting the vulnerable; medical advice; justice, police, "
    "immigration or asylum work. Adapters trained on it are derivatives and carry the same rules; "
    "whoever lets others use it, as a hosted service too, must pass these rules and the licence "
    "on to them."
)

OPEN_RAIL_M = Licence(
    name="CreativeML Open RAIL-M, dated 22 August 2022",
    spdx="LicenseRef-CreativeML-Open-RAIL-M",
    address="https://huggingface.co/spaces/CompVis/stable-diffusion-license",
    restrictions=_USES,
)

OPEN_RAIL_PLUS_PLUS_M = Licence(
    name="CreativeML Open RAIL++-M, dated 24 November 2022",
    spdx="LicenseRef-CreativeML-Open-RAIL-plus-plus-M",
    address="https://github.com/Stability-AI/stablediffusion/blob/main/LICENSE-MODEL",
    restrictions=_USES,
)
"""Its text was read at that address in a stored copy of the repository, in November 2026."""

MIT_0 = Licence(
    name="MIT No Attribution",
    spdx="MIT-0",
    address="LICENSE",
    restrictions="None: it is the course's own, and nothing has to be accepted.",
    to_accept=False,
)
