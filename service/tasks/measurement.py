"""Objects -> numbers: how many, how large, where, how sure."""

import numpy as np
from scipy import ndimage

from models.image import Array
from service.schemas import Box, MeasuredClass, MeasuredObject, Point
from service.tasks.segmentation import BACKGROUND, Mask


def measure_classes(mask: Mask, *, pixel_size_um: float | None) -> tuple[MeasuredClass, ...]:
    """Each class's pixels and objects over the whole image."""
    places = len(mask.spec.classes) + 1
    area = np.bincount(mask.classes.ravel(), minlength=places)
    objects = np.bincount(mask.object_class[1:], minlength=places)
    return tuple(
        MeasuredClass(
            label=known.label,
            name=known.name or known.label,
            objects=0 if known.label == BACKGROUND else int(objects[place]),
            area_px=int(area[place]),
            area_um2=_um2(int(area[place]), pixel_size_um),
            area_fraction=float(area[place] / mask.classes.size),
        )
        for place, known in enumerate(mask.spec.classes, start=1)
    )


def measure_objects(mask: Mask, *, pixel_size_um: float | None) -> tuple[MeasuredObject, ...]:
    """Each object, in one pass over the objects' pixels for all of them."""
    where = np.flatnonzero(mask.objects)
    ids = mask.objects.ravel()[where]
    y, x = np.divmod(where, mask.objects.shape[1])
    channel = mask.object_class[ids].astype(np.intp) - 1
    certainty = mask.probabilities.reshape(len(mask.probabilities), -1)[channel, where]
    area = np.bincount(ids, minlength=mask.count + 1)
    mean_x, mean_y, mean_p = (_sums(ids, values, mask.count) / np.maximum(area, 1) for values in (x, y, certainty))
    boxes = ndimage.find_objects(mask.objects)
    return tuple(
        MeasuredObject(
            id=i,
            label=mask.spec.classes[mask.object_class[i] - 1].label,
            area_px=int(area[i]),
            area_um2=_um2(int(area[i]), pixel_size_um),
            centroid_px=Point(x=float(mean_x[i]), y=float(mean_y[i])),
            centroid_um=_scaled(float(mean_x[i]), float(mean_y[i]), pixel_size_um),
            bbox_px=_box(*boxes[i - 1]),
            mean_probability=float(mean_p[i]),
        )
        for i in range(1, mask.count + 1)
    )


def _sums(ids: Array, values: Array, count: int) -> Array:
    """The sum of values over each id, (count + 1,) float64."""
    return np.bincount(ids, weights=values, minlength=count + 1)


def _um2(area_px: int, pixel_size_um: float | None) -> float | None:
    return None if pixel_size_um is None else area_px * pixel_size_um**2


def _scaled(x: float, y: float, pixel_size_um: float | None) -> Point | None:
    return None if pixel_size_um is None else Point(x=x * pixel_size_um, y=y * pixel_size_um)


def _box(rows: slice, columns: slice) -> Box:
    return Box(x=columns.start, y=rows.start, width=columns.stop - columns.start, height=rows.stop - rows.start)
