"""FastAPI server with ONNX Runtime, as in tutorials: a `def` endpoint, which FastAPI runs in its thread pool."""

import os

import numpy as np
import onnxruntime
from fastapi import FastAPI, UploadFile
from PIL import Image

app = FastAPI()
session = onnxruntime.InferenceSession(os.environ["BENCHMARK_WEIGHTS"], providers=["CPUExecutionProvider"])
_, CHANNELS, HEIGHT, WIDTH = session.get_inputs()[0].shape


def preprocess(image: Image.Image) -> np.ndarray:
    image = image.convert("L" if CHANNELS == 1 else "RGB").resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
    x = np.asarray(image, dtype=np.float32).reshape(HEIGHT, WIDTH, CHANNELS) / 127.5 - 1
    return x.transpose(2, 0, 1)[None]


@app.post("/predict")
def predict(image: UploadFile) -> dict:
    x = preprocess(Image.open(image.file))
    probabilities = session.run(["probabilities"], {"image": x})[0][0]
    top = probabilities.argsort()[::-1][:5]
    return {"classes": [{"label": str(i), "probability": float(probabilities[i])} for i in top]}
