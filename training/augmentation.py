"""Augmentation of training images with MONAI transforms, seeded for each sample."""

import math
from typing import Any

from monai.data import set_track_meta
from monai.transforms import (
    BorderPadd,
    Compose,
    Rand2DElasticd,
    RandAdjustContrastd,
    RandAffined,
    RandFlipd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandScaleIntensityd,
    RandShiftIntensityd,
    RandSpatialCropd,
    SpatialPadd,
    ToTensord,
)

from training.config import AugmentConfig
from training.elastic_deformation import RandDeform
from training.stain_jitter import RandStainJitter

set_track_meta(False)  # plain tensors, without MONAI's affine matrix
_AXES = {"vertical": 0, "horizontal": 1}


def augmentation(config: AugmentConfig, *, keys: tuple[str, ...], size: tuple[int, int] | None = None) -> Compose:
    """Returns a transform of {"image": (C, H, W) float32, "target": (K, H, W) float32}; keys change together.

    size: (height, width) px of all images, if fixed; `shift` is a fraction of `crop` or of this. With
    `compose.set_random_state(seed)` before a sample, the change depends on the seed only.
    """
    return Compose(
        [
            *_crop(config, keys),
            *_geometry(config, keys, config.crop or size or (0, 0)),
            *_intensity(config),
            ToTensord(keys),
        ]
    )


def _crop(config: AugmentConfig, keys: tuple[str, ...]) -> list[Any]:
    border: list[Any] = [BorderPadd(keys, config.border_px, mode="symmetric")] if config.border_px else []
    if config.crop is None:
        return border
    return [
        *border,
        SpatialPadd(keys, config.crop, mode="symmetric"),
        RandSpatialCropd(keys, config.crop, random_size=False),
    ]


def _geometry(config: AugmentConfig, keys: tuple[str, ...], sides: tuple[int, int]) -> list[Any]:
    steps: list[Any] = [RandFlipd(keys, prob=0.5, spatial_axis=_AXES[axis]) for axis in config.flip]
    if config.rotate_degrees or config.scale or config.shift:
        affine = RandAffined(
            keys,
            prob=1.0,
            rotate_range=math.radians(config.rotate_degrees),
            scale_range=[(-config.scale, config.scale)] * 2,
            translate_range=[config.shift * side for side in sides],
            mode="bilinear",
            padding_mode="reflection",
        )
        steps.append(affine)
    if config.elastic:
        spacing, magnitude = config.elastic
        elastic = Rand2DElasticd(
            keys,
            spacing=spacing,
            magnitude_range=(0, magnitude),
            prob=0.3,
            mode="bilinear",
            padding_mode="reflection",
        )
        steps.append(elastic)
    if config.deform_px:
        steps.append(RandDeform(keys, std_px=config.deform_px))
    return steps


def _intensity(config: AugmentConfig) -> list[Any]:
    steps: list[Any] = [RandStainJitter(config.stain)] if config.stain else []
    if config.gamma:
        steps.append(RandAdjustContrastd("image", prob=0.5, gamma=config.gamma))
    if config.gain:
        steps.append(RandScaleIntensityd("image", factors=config.gain, prob=0.5))
    if config.colour_gain:
        steps.append(RandScaleIntensityd("image", factors=config.colour_gain, prob=0.5, channel_wise=True))
    if config.offset:
        steps.append(RandShiftIntensityd("image", offsets=config.offset, prob=0.5))
    if config.blur:
        steps.append(RandGaussianSmoothd("image", prob=0.2, sigma_x=config.blur, sigma_y=config.blur))
    if config.noise:
        steps.append(RandGaussianNoised("image", prob=0.3, std=config.noise, sample_std=True))
    return steps
