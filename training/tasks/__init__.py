"""Training tasks: what a recipe's `task` means, a class each.

`classification` and `segmentation` are what the service makes of a network; several training tasks lead to each.
"""

from training.tasks.image_tasks import Multiclass, Multilabel
from training.tasks.instance_task import Instance
from training.tasks.pixel_tasks import Boundaries, MultilabelSemantic, Semantic
from training.tasks.training_task import TrainingTask

TASKS: dict[str, TrainingTask] = {
    "multiclass": Multiclass(),
    "multilabel": Multilabel(),
    "semantic": Semantic(),
    "multilabel_semantic": MultilabelSemantic(),
    "boundaries": Boundaries(),
    "instance": Instance(),
}
