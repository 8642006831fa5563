"""BentoML server as documented for images: a batchable endpoint for PIL images, with default settings."""

import os

import bentoml
import numpy as np
import onnxruntime
from PIL import Image


@bentoml.service(traffic={"timeout": 60})
class Classifier:
    def __init__(self) -> None:
        self.session = onnxruntime.InferenceSession(os.environ["BENCHMARK_WEIGHTS"], providers=["CPUExecutionProvider"])
        _, self.channels, self.height, self.width = self.session.get_inputs()[0].shape

    def preprocess(self, image: Image.Image) -> np.ndarray:
        mode = "L" if self.channels == 1 else "RGB"
        image = image.convert(mode).resize((self.width, self.height), Image.Resampling.BILINEAR)
        x = np.asarray(image, dtype=np.float32).reshape(self.height, self.width, self.channels) / 127.5 - 1
        return x.transpose(2, 0, 1)

    @bentoml.api(batchable=True)
    def predict(self, images: list[Image.Image]) -> list[dict]:
        x = np.stack([self.preprocess(image) for image in images])
        return [self.top(probabilities) for probabilities in self.session.run(["probabilities"], {"image": x})[0]]

    def top(self, probabilities: np.ndarray) -> dict:
        top = probabilities.argsort()[::-1][:5]
        return {"classes": [{"label": str(i), "probability": float(probabilities[i])} for i in top]}
