"""Messages from a child process that decodes: they are checked, since it has read a stranger's bytes."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from models import errors
from models.decode import FORMATS, Cost, Probe
from models.errors import ImageError
from models.source import AXES, Level, Source, Spacing

_Size = Annotated[int, Field(ge=1, le=2**40)]
_Text = Annotated[str, Field(max_length=1000)]
_Axes = Annotated[str, Field(pattern=f"^[{AXES}]+$", max_length=len(AXES))]
_Dtype = Literal[
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64"
]
_ERRORS = {
    each.__name__: each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, ImageError)
}


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ProbeMessage(_Message):
    """A Probe, without the decoder's own header."""

    format: Annotated[int, Field(ge=0, lt=len(FORMATS))]  # its place in FORMATS
    width: _Size
    height: _Size
    channels: Literal[1, 3]
    dtype: _Dtype
    pages: _Size
    block: tuple[_Size, _Size] | None
    cost: tuple[_Size, _Text] | None

    @classmethod
    def of(cls, probed: Probe) -> "ProbeMessage":
        fields = probed._asdict() | {"format": FORMATS.index(probed.format)}
        del fields["header"]
        return cls(**fields)

    @property
    def probe(self) -> Probe:
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        cost = Cost(*self.cost) if self.cost else None
        return Probe(**fields | {"format": FORMATS[self.format], "cost": cost})


class SourceMessage(_Message):
    """What a Source says of itself. levels: shape and downsample of each."""

    axes: _Axes
    dtype: _Dtype
    levels: Annotated[list[tuple[list[_Size], list[float]]], Field(min_length=1, max_length=64)]
    spacing: dict[_Axes, tuple[float, Literal["µm", "mm"]]]
    orientation: dict[_Axes, Annotated[str, Field(max_length=8)]]
    format: Annotated[str, Field(max_length=20)]
    damage: _Text | None

    @classmethod
    def of(cls, source: Source) -> "SourceMessage":
        return cls(
            axes=source.axes,
            dtype=source.dtype.name,
            levels=[(list(level.shape), list(level.downsample)) for level in source.levels],
            spacing={axis: (spacing.value, spacing.unit) for axis, spacing in source.spacing.items()},
            orientation=dict(source.orientation),
            format=source.format,
            damage=source.damage,
        )

    def levels_of_source(self) -> list[Level]:
        return [Level(tuple(shape), tuple(downsample)) for shape, downsample in self.levels]

    def spacings(self) -> dict[str, Spacing]:
        return {axis: Spacing(value, unit) for axis, (value, unit) in self.spacing.items()}


class ErrorMessage(_Message):
    """An ImageError."""

    error: Annotated[str, Field(pattern=f"^({'|'.join(_ERRORS)})$")]
    sentence: _Text

    @classmethod
    def of(cls, error: ImageError) -> "ErrorMessage":
        return cls(error=type(error).__name__, sentence=str(error)[:1000])

    @property
    def exception(self) -> ImageError:
        error = _ERRORS[self.error].__new__(_ERRORS[self.error])
        Exception.__init__(error, self.sentence)
        return error


class DoneMessage(_Message):
    """Nothing to say."""
