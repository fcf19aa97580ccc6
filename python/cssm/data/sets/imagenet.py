"""ImageNet and Imagenette, from record files or folders. Source: data specification 6 and 7."""

from __future__ import annotations

from cssm.data.imagenet_listing import list_flat_val, list_folders, read_classes
from cssm.data.record_source import RecordSource
from cssm.data.registry import DataSet, Request
from cssm.data.sets.encoded import Encoded, Folder, Pictures, Records

SIZE = 224
IMAGENET_MARGIN = 256 / 224
IMAGENETTE_MARGIN = 1.15
IMAGENETTE = (
    "n01440764",
    "n02102040",
    "n02979186",
    "n03000684",
    "n03028079",
    "n03394916",
    "n03417042",
    "n03425413",
    "n03445777",
    "n03888257",
)


def open_imagenet(request: Request) -> DataSet:
    """{root}/{split}/{split}-*-of-*.tfrecord, {root}/{split}/{wnid}/*.JPEG, or a flat {root}/val and its ground truth.

    In training a random part, flipped in half the cases; otherwise the centre. Splits are train and val.

    Raises:
      ValueError: no such directory or split, or classes that cannot be told.
    """
    root, split = request.need_root(), request.one_of("train", "val")
    folder = root / split
    shards = sorted(folder.glob(f"{split}-*-of-*.tfrecord"))
    if shards:
        files: Encoded = Records(RecordSource(shards, request.cache))
        return _pictures(files, request, len(read_classes(root, split)), IMAGENET_MARGIN)
    classes = read_classes(root, split)
    flat = split == "val" and not any(path.is_dir() for path in folder.glob("*"))
    listing = list_flat_val(root, classes) if flat else list_folders(folder, classes)
    return _pictures(Folder(listing), request, len(classes), IMAGENET_MARGIN)


def open_imagenette(request: Request) -> DataSet:
    """{root}/{train,val}/{wnid}/*.JPEG of ten classes, as `open_imagenet`; augmentation is drawn again in each epoch.

    Raises:
      ValueError: no such directory or split, or other classes.
    """
    root, split = request.need_root(), request.one_of("train", "val")
    files = Folder(list_folders(root / split, IMAGENETTE))
    return _pictures(files, request, len(IMAGENETTE), IMAGENETTE_MARGIN)


def _pictures(files: Encoded, request: Request, num_classes: int, margin: float) -> DataSet:
    pictures = Pictures(files, request.image_size or SIZE, margin)
    draw = pictures.draw if request.split == "train" else None
    return DataSet(pictures, num_classes, counts={request.split: len(files)}, draw=draw)
