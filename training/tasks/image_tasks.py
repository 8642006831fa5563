"""Tasks whose truth is classes or labels of the whole image."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import nn

from models.image import Array
from training import evaluation_metrics as metrics
from training import losses
from training.calibration import best_f1_threshold, fit_temperature, youden_threshold
from training.tasks.training_task import Decision, Score


class Multiclass:
    """One class per image; the truth is its index."""

    activation: Literal["softmax", "sigmoid"] = "softmax"
    auxiliary: tuple[str, ...] = ()
    headline = "auroc"
    loss = staticmethod(losses.multiclass_loss)

    def target(self, truth: Array, classes: int) -> Array:
        return truth.astype(np.int64)

    def decide(self, logits: Sequence[Array], truths: Sequence[Array]) -> Decision:
        """Fits the temperature by likelihood and, for two classes, the threshold by Youden's J (1950)."""
        z, truth = torch.from_numpy(np.stack(logits)), torch.from_numpy(np.stack(truths))
        temperature = fit_temperature(lambda t: nn.functional.cross_entropy(z / t, truth).item())
        if z.shape[1] != 2:
            return Decision(thresholds=(0.5,) * z.shape[1], temperature=temperature)
        threshold = youden_threshold((z / temperature).softmax(dim=1)[:, 1].numpy(), truth.numpy() == 1)
        return Decision(thresholds=(1 - threshold, threshold), temperature=temperature)

    def scores(self, probabilities: Sequence[Array], truths: Sequence[Array], decision: Decision) -> dict[str, Score]:
        p, truth = np.stack(probabilities), np.stack(truths)
        confidence, correct = p.max(axis=1), p.argmax(axis=1) == truth
        scores: dict[str, Score] = {name: _over(score, p, truth) for name, score in metrics.CLASS_SCORES.items()}
        scores["ece"] = lambda i: metrics.expected_calibration_error(confidence[i], correct[i])
        if p.shape[1] == 2:
            positive = p[:, 1] >= decision.thresholds[1]
            scores["sensitivity"] = lambda i: metrics.fraction(positive[i][truth[i] == 1])
            scores["specificity"] = lambda i: metrics.fraction(~positive[i][truth[i] == 0])
        return scores


class Multilabel:
    """Any number of labels per image; the truth is (C,) of 0 and 1."""

    activation: Literal["softmax", "sigmoid"] = "sigmoid"
    auxiliary: tuple[str, ...] = ()
    headline = "auroc"
    loss = staticmethod(losses.multilabel_loss)

    def target(self, truth: Array, classes: int) -> Array:
        return truth.astype(np.float32)

    def decide(self, logits: Sequence[Array], truths: Sequence[Array]) -> Decision:
        """Fits the temperature by likelihood, and each label's threshold by its F1 (Rajpurkar 2017)."""
        z, truth = torch.from_numpy(np.stack(logits)), torch.from_numpy(np.stack(truths).astype(np.float32))
        loss = nn.functional.binary_cross_entropy_with_logits
        temperature = fit_temperature(lambda t: loss(z / t, truth).item())
        p = (z / temperature).sigmoid().numpy()
        thresholds = tuple(best_f1_threshold(p[:, c], truth[:, c].numpy() > 0.5) for c in range(p.shape[1]))
        return Decision(thresholds=thresholds, temperature=temperature)

    def scores(self, probabilities: Sequence[Array], truths: Sequence[Array], decision: Decision) -> dict[str, Score]:
        p, present = np.stack(probabilities), np.stack(truths) > 0.5
        predicted = p >= np.array(decision.thresholds)
        return {
            "auroc": lambda i: float(metrics.aurocs(p[i], present[i]).mean()),
            "accuracy": lambda i: float((predicted[i] == present[i]).mean()),
            "ece": lambda i: metrics.expected_calibration_error(p[i].ravel(), present[i].ravel()),
            "f1": lambda i: float(np.mean([metrics.f1(predicted[i, c], present[i, c]) for c in range(p.shape[1])])),
        }


def _over(score: metrics.ClassScore, probabilities: Array, truth: Array) -> Score:
    """Returns the score as a function of the examples' indices."""
    return lambda i: score(probabilities[i], truth[i])
