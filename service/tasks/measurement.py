"""Measurements of objects: their number, areas, positions and mean probabilities."""

from collections import Counter

import numpy as np
from scipy import ndimage

from models.image import Array
from service.api.answers import Box, MeasuredClass, MeasuredObject, Measurements, Point
from service.errors import TooManyObjects
from service.tasks.mask import Mask, layers, own_pixels
from service.tasks.task import Document

# An object takes 1.2 KB with its part of the answer; more of them would not fit into the memory of their image.
_OBJECTS, _PIXELS_AN_OBJECT = 1024, 32


def measurements(mask: Mask, *, pixel_size_um: float | None) -> Document:
    """Returns every class and object in pixels, and in micrometres where the pixel size is known."""
    classes, objects = measure(mask, pixel_size_um=pixel_size_um)
    fields = {"pixel_size_um": pixel_size_um, "count": len(objects), "classes": classes, "objects": ()}
    return Document(Measurements, fields, raw={"objects": objects})


def measure(mask: Mask, *, pixel_size_um: float | None) -> tuple[tuple[MeasuredClass, ...], tuple[MeasuredObject, ...]]:
    """Measures each class over the whole image, and each object; if classes overlap, each class separately.

    Raises TooManyObjects.
    """
    objects: list[MeasuredObject] = []
    most = _OBJECTS + mask.classes.size // _PIXELS_AN_OBJECT
    for layer in layers(mask):
        if len(objects) + layer.count > most:
            raise TooManyObjects(len(objects) + layer.count, f"of so few pixels at most {most:,} are measured")
        objects += _objects(layer, pixel_size_um=pixel_size_um, first=len(objects))
    counts = Counter(found["label"] for found in objects)
    return _classes(mask, counts, pixel_size_um=pixel_size_um), tuple(objects)


def _classes(mask: Mask, objects: Counter[str], *, pixel_size_um: float | None) -> tuple[MeasuredClass, ...]:
    areas = [int(np.count_nonzero(own_pixels(mask, place))) for place in range(1, len(mask.spec.classes) + 1)]
    return tuple(
        MeasuredClass(
            label=known.label,
            name=known.name or known.label,
            objects=objects[known.label],
            area_px=area,
            area_um2=_um2(area, pixel_size_um),
            area_fraction=area / mask.classes.size,
        )
        for known, area in zip(mask.spec.classes, areas)
    )


def _objects(mask: Mask, *, pixel_size_um: float | None, first: int) -> tuple[MeasuredObject, ...]:
    """Measures all objects in one pass over their pixels. first: the number of objects counted before."""
    where = np.flatnonzero(mask.objects)
    ids = mask.objects.ravel()[where]
    y, x = np.divmod(where, mask.objects.shape[1])
    channel = mask.object_class[ids].astype(np.intp) - 1
    certainty = mask.probabilities.reshape(len(mask.probabilities), -1)[channel, where]
    area = np.bincount(ids, minlength=mask.count + 1)
    mean_x, mean_y, mean_p = (
        (_sums(ids, values, mask.count) / np.maximum(area, 1)).tolist() for values in (x, y, certainty)
    )
    boxes, labels = ndimage.find_objects(mask.objects), ["", *(known.label for known in mask.spec.classes)]
    return tuple(
        MeasuredObject(
            id=first + i,
            label=labels[place],
            area_px=pixels,
            area_um2=_um2(pixels, pixel_size_um),
            centroid_px=Point(x=mean_x[i], y=mean_y[i]),
            centroid_um=_scaled(mean_x[i], mean_y[i], pixel_size_um),
            bbox_px=_box(*boxes[i - 1]),
            mean_probability=mean_p[i],
        )
        for i, (place, pixels) in enumerate(zip(mask.object_class.tolist(), area.tolist()))
        if i
    )


def _sums(ids: Array, values: Array, count: int) -> Array:
    """Sums values by id: (count + 1,) float64."""
    return np.bincount(ids, weights=values, minlength=count + 1)


def _um2(area_px: int, pixel_size_um: float | None) -> float | None:
    return None if pixel_size_um is None else area_px * pixel_size_um**2


def _scaled(x: float, y: float, pixel_size_um: float | None) -> Point | None:
    return None if pixel_size_um is None else Point(x=x * pixel_size_um, y=y * pixel_size_um)


def _box(rows: slice, columns: slice) -> Box:
    return Box(x=columns.start, y=rows.start, width=columns.stop - columns.start, height=rows.stop - rows.start)
