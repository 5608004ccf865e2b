"""Helpers of the avatar course: photos, tuning, hosting, cloud, local, experiments, ui, pocket.

Importing this package loads nothing heavy; torch, moto and diffusers load where they are used.
"""

from helpers.errors import CourseError
from helpers.settings import Settings

__all__ = ["CourseError", "Settings"]
__version__ = "0.1.0"
