"""Tasks: the questions that this service answers, a file each."""

from typing import Any

from service.tasks.activations import Activations
from service.tasks.cam import ClassActivation
from service.tasks.classification import Classification
from service.tasks.segmentation import Segmentation
from service.tasks.task import Task

TASKS: dict[str, Task[Any, Any]] = {
    task.name: task for task in (Classification(), ClassActivation(), Segmentation(), Activations())
}
