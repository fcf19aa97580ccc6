"""Which image files there are, and of which class: its index in the sorted listing of WordNet ids (wnids).

Source: data specification 6.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

SUFFIXES = (".jpeg", ".jpg", ".png")
SYNSETS = ("synset_words.txt", "LOC_synset_mapping.txt")
GROUND_TRUTH = ("ILSVRC2012_validation_ground_truth.txt", "val_ground_truth.txt", "val_labels.txt")
_WNID = re.compile(r"n\d{8}")


def read_classes(root: Path, split: str) -> tuple[str, ...]:
    """The wnids by class: of {split}_class_mapping.txt, the folders of train, a synset file, or the folders of the split.

    Raises:
      ValueError: there is none of them.
    """
    mapping = root / f"{split}_class_mapping.txt"
    if mapping.exists():
        return _read_mapping(mapping)
    for wnids in (_folders(root / "train"), sorted(_synsets(root)), _folders(root / split)):
        if wnids:
            return tuple(wnids)
    raise ValueError(
        f"root: got {str(root)!r}, expected a class mapping: {mapping.name}, folders train/n00000000,"
        f" or {' or '.join(SYNSETS)}"
    )


def list_folders(folder: Path, classes: Sequence[str]) -> list[tuple[Path, int]]:
    """(file, class) of {folder}/{wnid}/*, sorted.

    Raises:
      ValueError: there are no files, or a folder of another class.
    """
    index = {wnid: i for i, wnid in enumerate(classes)}
    unknown = [wnid for wnid in _folders(folder) if wnid not in index]
    if unknown:
        raise ValueError(f"{folder}: got a folder {unknown[0]}, expected those of {len(classes)} classes")
    listing = [(path, index[wnid]) for wnid in _folders(folder) for path in _images(folder / wnid)]
    if not listing:
        raise ValueError(f"{folder}: expected folders n00000000 of images in it")
    return listing


def list_flat_val(root: Path, classes: Sequence[str]) -> list[tuple[Path, int]]:
    """(file, class) of {root}/val/*, sorted, by the ground truth in {root} or its devkit, a line a file.

    A line is a wnid, or an ILSVRC id of meta.mat, or of a synset file in the order of these ids.

    Raises:
      ValueError: there is no ground truth, another number of lines than of files, or no way from ids to wnids.
    """
    files = _images(root / "val")
    truth = _find(root, GROUND_TRUTH)
    if truth is None:
        raise ValueError(f"{root}: got a flat val, expected its labels in {', '.join(GROUND_TRUTH)}")
    lines = truth.read_text().split()
    if len(lines) != len(files):
        raise ValueError(f"{truth}: got {len(lines)} labels, expected {len(files)}, one an image")
    if lines and not _WNID.fullmatch(lines[0]):
        by_id = _wnid_by_id(root, truth)
        lines = [_look_up(by_id, line, truth) for line in lines]
    index = {wnid: i for i, wnid in enumerate(classes)}
    return [(path, _look_up(index, wnid, truth)) for path, wnid in zip(files, lines)]


def _wnid_by_id(root: Path, truth: Path) -> dict[str, str]:
    meta = _find(root, ("meta.mat",))
    if meta is not None:
        from scipy.io import loadmat

        synsets = loadmat(meta, squeeze_me=True)["synsets"]
        return {str(int(row["ILSVRC2012_ID"])): str(row["WNID"]) for row in synsets}
    wnids = _synsets(root)
    if wnids and wnids != sorted(wnids):
        return {str(i): wnid for i, wnid in enumerate(wnids, 1)}
    what = "has a synset file sorted by wnid, which says nothing of ids" if wnids else "has no file of them"
    raise ValueError(f"{truth}: got ILSVRC ids, expected meta.mat to tell their wnids; {str(root)!r} {what}")


def _look_up(table: dict, key: str, truth: Path):
    if key not in table:
        raise ValueError(f"{truth}: got {key}, expected one of {len(table)} classes")
    return table[key]


def _synsets(root: Path) -> list[str]:
    path = _find(root, SYNSETS)
    return [] if path is None else [line.split()[0] for line in path.read_text().splitlines() if line.strip()]


def _read_mapping(path: Path) -> tuple[str, ...]:
    rows = [line.split("\t") for line in path.read_text().splitlines() if line]
    if [row[0] for row in rows] != [str(i) for i in range(len(rows))]:
        raise ValueError(f"{path}: expected lines of a class, 0, 1, ..., a tab and its wnid")
    return tuple(row[1] for row in rows)


def _find(root: Path, names: Sequence[str]) -> Path | None:
    folders = (root, root / "data", root / "devkit" / "data", root / "ILSVRC2012_devkit_t12" / "data")
    return next((path for name in names for folder in folders if (path := folder / name).exists()), None)


def _folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("n*") if _WNID.fullmatch(path.name))


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
