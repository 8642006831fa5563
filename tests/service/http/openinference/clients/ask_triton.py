"""python ask_triton.py <host:port> <model> <folder>: asks in every way in which tritonclient's users do.

The folder has tensor.npy and the image files file0 ...; it gets answers.npz, an array for each way, and facts.json.
"""

import asyncio
import json
import sys
from pathlib import Path

import numpy as np
import tritonclient.http as sync
import tritonclient.http.aio as aio
from tritonclient.utils import InferenceServerException

URL, MODEL, FOLDER = sys.argv[1], sys.argv[2], Path(sys.argv[3])
TENSOR = np.load(FOLDER / "tensor.npy")
FILES = np.array([path.read_bytes() for path in sorted(FOLDER.glob("file*"))], dtype=object)


def tensor(binary=True):
    given = sync.InferInput("image", list(TENSOR.shape), "FP32")
    return [given.set_data_from_numpy(TENSOR, binary_data=binary)]


def files():
    given = sync.InferInput("image_bytes", [len(FILES)], "BYTES")
    return [given.set_data_from_numpy(FILES)]


def output(**options):
    return [sync.InferRequestedOutput("probabilities", **options)]


def packed(algorithm):
    return {"request_compression_algorithm": algorithm, "response_compression_algorithm": algorithm}


WAYS = {
    "tensor": {"inputs": tensor()},
    "tensor_json": {"inputs": tensor(binary=False), "outputs": output(binary_data=False)},
    "tensor_gzip": {"inputs": tensor(), **packed("gzip")},
    "tensor_deflate": {"inputs": tensor(), "outputs": output(), **packed("deflate")},
    "tensor_hurried": {"inputs": tensor(), "timeout": 60_000_000, "priority": 2, "request_id": "case-7"},
    "files": {"inputs": files()},
    "files_gzip": {"inputs": files(), "outputs": output(), **packed("gzip")},
}


def main():
    answers, facts = {}, {}
    with sync.InferenceServerClient(URL, network_timeout=120, connection_timeout=120) as client:
        facts["live"] = client.is_server_live() and client.is_server_ready() and client.is_model_ready(MODEL)
        facts["absent"] = client.is_model_ready("absent")
        facts["server"] = client.get_server_metadata()
        facts["model"] = model = client.get_model_metadata(MODEL)
        version = model["versions"][0]
        for way, options in WAYS.items():
            found = client.infer(MODEL, model_version=version, **options)
            answers[f"sync_{way}"] = found.as_numpy("probabilities")
            facts[way] = {key: found.get_response().get(key) for key in ("id", "model_version")}
        pending = client.async_infer(MODEL, tensor())
        answers["sync_tensor_async"] = pending.get_result().as_numpy("probabilities")
        if facts["model"]["parameters"]["task"] == "classification":
            top = client.infer(MODEL, files(), outputs=output(class_count=2)).as_numpy("probabilities")
            facts["classes"] = [[text.decode() for text in row] for row in top]
        facts["errors"] = [failed(client, MODEL, wrong) for wrong in ("name", "shape", "datatype")]
        facts["statistics"] = client.get_inference_statistics(MODEL, version)
    answers |= asyncio.run(by_asyncio())
    np.savez(FOLDER / "answers.npz", **answers)
    (FOLDER / "facts.json").write_text(json.dumps(facts))


def failed(client, model, wrong):
    """The status and sentence of a request that is wrong in one way."""
    name = "x" if wrong == "name" else "image"
    values = TENSOR.astype(np.float64) if wrong == "datatype" else TENSOR
    values = np.concatenate([values, values], axis=1) if wrong == "shape" else values  # too many channels
    given = sync.InferInput(name, list(values.shape), "FP64" if wrong == "datatype" else "FP32")
    try:
        client.infer(model, [given.set_data_from_numpy(values)])
    except InferenceServerException as error:
        return error.status(), error.message()
    return None


async def by_asyncio():
    async with aio.InferenceServerClient(URL, conn_timeout=120) as client:
        assert await client.is_server_ready()
        assert (await client.get_model_metadata(MODEL))["name"] == MODEL
        found = {way: await client.infer(MODEL, **options) for way, options in WAYS.items()}
        together = await asyncio.gather(*(client.infer(MODEL, tensor()) for _ in range(8)))
    answers = {f"aio_{way}": each.as_numpy("probabilities") for way, each in found.items()}
    return answers | {f"aio_tensor_{n}": each.as_numpy("probabilities") for n, each in enumerate(together)}


main()
