"""Data sets that `make_loader` knows: a module has one `open_...` for each, which is registered here."""

from __future__ import annotations

from cssm.data.registry import register
from cssm.data.sets.contours import open_cabc, open_pathfinder
from cssm.data.sets.imagenet import open_imagenet, open_imagenette
from cssm.data.sets.pathtracker import open_girik, open_pathtracker

register("pathfinder", open_pathfinder)
register("cabc", open_cabc)
register("pathtracker", open_pathtracker)
register("girik", open_girik)
register("imagenet", open_imagenet)
register("imagenette", open_imagenette)
