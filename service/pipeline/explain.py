"""Where a class was seen and what a layer sees, for one image; knows no HTTP."""

from dataclasses import dataclass

from models.image import Array
from service.api.options import ActivationOptions, CamOptions
from service.errors import InvalidOption
from service.pipeline.occlusion import drops
from service.pipeline.pipeline import Pipeline
from service.pipeline.prepare import PreparedImage, Result, check_finite
from service.repository.state import ServedModel
from service.scheduling.deadline import Deadline
from service.scheduling.work_item import Priority
from service.tasks import activations, cam
from service.tasks.cam import ClassMap
from service.tasks.picture import Picture

_FEW_PIXELS = 2**16  # up to here a map's numbers are written down sooner than a thread is changed
_AT_ONCE = 32  # covered images that wait or run together: a GPU's batch


@dataclass(frozen=True, slots=True)
class Mapped:
    """A map as a picture, the class it is of, and how it was made."""

    picture: Picture
    label: str
    probability: float
    method: str


async def class_map(
    pipeline: Pipeline, data: bytes, model: ServedModel, options: CamOptions, *, deadline: Deadline
) -> Result[Mapped]:
    """Where the network saw a class."""
    spec = model.spec
    asked = cam.place_of(options.label, spec)
    cam.check_format(options.format, spec)
    method = cam.method_of(options.method, spec)
    own = None if method == cam.OCCLUSION else spec.cam
    outputs = ("probabilities", own.methods[method][0]) if own else ("probabilities",)
    with pipeline.allowance.share() as share:
        ready = await pipeline.ready(data, model, share, outputs=outputs, deadline=deadline)
        given = await pipeline.averaged(ready, ready.tensor, outputs, deadline=deadline)
        probabilities = given["probabilities"]
        pipeline.on_prediction(data, model, probabilities)
        place = cam.most_probable(probabilities, spec) if asked is None else asked
        if own:
            found = cam.given(given, own, place=place, method=method)
        else:
            found = await _occluded(pipeline, ready, place, before=float(probabilities[place]), deadline=deadline)
        if options.format == "raw" and ready.image.height * ready.image.width <= _FEW_PIXELS:
            picture = _draw(found, ready, options)
        else:
            picture = await pipeline.in_thread(_draw, found, ready, options)
        return ready.result(Mapped(picture, spec.classes[place].label, found.probability, method))


async def _occluded(
    pipeline: Pipeline, ready: PreparedImage, place: int, *, before: float, deadline: Deadline
) -> ClassMap:
    """Each covered image, behind who waits for one image; no more of them than leave room."""

    async def probability(covered: Array) -> float:
        given = await pipeline.averaged(
            ready, covered, ("probabilities",), deadline=deadline, priority=Priority.BULK, admitted=True
        )
        return float(given["probabilities"][place])

    at_once = max(1, min(_AT_ONCE, pipeline.queue_length // 2))
    values = await drops(ready.tensor, probability, before=before, at_once=at_once)
    return ClassMap(values, origin=0.0, stride=1.0, place=place, probability=before)


def _draw(found: ClassMap, ready: PreparedImage, options: CamOptions) -> Picture:
    """Both stages in one thread: a second change of thread would cost as much as the map itself."""
    with ready.watch.stage("postprocess"):
        values = cam.laid_over(found, ready.model.spec, size=(ready.image.height, ready.image.width))
    with ready.watch.stage("encode"):
        return cam.FORMATS[options.format](values, ready.image, options)


async def layer_maps(
    pipeline: Pipeline, data: bytes, model: ServedModel, options: ActivationOptions, *, deadline: Deadline
) -> Result[Picture]:
    """What a layer sees in the image."""
    tap = activations.tap_of(options.layer, model.spec)
    if options.first >= tap.size[0]:
        raise InvalidOption("first", options.first, f"the layer has {tap.size[0]} channels, from 0")
    with pipeline.allowance.share() as share:
        outputs = ("probabilities", tap.output)
        ready = await pipeline.ready(data, model, share, outputs=outputs, deadline=deadline)
        given = await pipeline.averaged(ready, ready.tensor, outputs, deadline=deadline)
        check_finite(given[tap.output], ready.image)
        pipeline.on_prediction(data, model, given["probabilities"])
        with ready.watch.stage("encode"):
            picture = await pipeline.in_thread(activations.activations, given[tap.output], options, layer=tap.layer)
        return ready.result(picture)
