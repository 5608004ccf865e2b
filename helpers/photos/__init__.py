"""Photos of one subject: loading, faces, crops, quality, and the request archive.

    load_folder -> PhotoSet -> prepare -> PreparedPhoto    what a model trains on
                            -> pack_request -> read_request    what travels to the endpoint

Importing it loads numpy and Pillow; scikit-image and OpenCV load when a face or a matte is wanted.
"""

from helpers.photos.archive import Request, pack_request, read_request
from helpers.photos.faces import Box, FaceFinder, find_face, find_faces
from helpers.photos.load import load_folder, load_photo
from helpers.photos.photo import Photo, PhotoSet, Refused
from helpers.photos.prepare import PreparedPhoto, prepare, report
from helpers.photos.quality import Quality

__all__ = [
    "Box",
    "FaceFinder",
    "Photo",
    "PhotoSet",
    "PreparedPhoto",
    "Quality",
    "Refused",
    "Request",
    "find_face",
    "find_faces",
    "load_folder",
    "load_photo",
    "pack_request",
    "prepare",
    "read_request",
    "report",
]
