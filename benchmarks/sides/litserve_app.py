"""LitServe server as documented: one worker, no batching, default settings. Its argument is the port."""

import os
import sys

import litserve
import numpy as np
import onnxruntime
from PIL import Image


class Classifier(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.session = onnxruntime.InferenceSession(os.environ["BENCHMARK_WEIGHTS"], providers=["CPUExecutionProvider"])
        _, self.channels, self.height, self.width = self.session.get_inputs()[0].shape

    def decode_request(self, request: litserve.Request) -> np.ndarray:
        mode = "L" if self.channels == 1 else "RGB"
        image = Image.open(request["image"].file).convert(mode)
        image = image.resize((self.width, self.height), Image.Resampling.BILINEAR)
        x = np.asarray(image, dtype=np.float32).reshape(self.height, self.width, self.channels) / 127.5 - 1
        return x.transpose(2, 0, 1)[None]

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.session.run(["probabilities"], {"image": x})[0][0]

    def encode_response(self, probabilities: np.ndarray) -> dict:
        top = probabilities.argsort()[::-1][:5]
        return {"classes": [{"label": str(i), "probability": float(probabilities[i])} for i in top]}


if __name__ == "__main__":
    server = litserve.LitServer(Classifier(), accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
