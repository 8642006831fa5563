"""python ask_kserve.py <host:port> <model> <folder>: as ask_triton.py, with KServe's InferenceRESTClient."""

import asyncio
import json
import sys
from pathlib import Path

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

URL, MODEL, FOLDER = f"http://{sys.argv[1]}", sys.argv[2], Path(sys.argv[3])
TENSOR = np.load(FOLDER / "tensor.npy")
FILES = np.array([path.read_bytes() for path in sorted(FOLDER.glob("file*"))], dtype=object)


def request(values, *, binary_in, binary_out=None):
    name, datatype = ("image", "FP32") if values is TENSOR else ("image_bytes", "BYTES")
    given = InferInput(name, list(values.shape), datatype)
    given.set_data_from_numpy(values, binary_data=binary_in)
    outputs = None if binary_out is None else [RequestedOutput("probabilities", {"binary_data": binary_out})]
    return InferRequest(MODEL, [given], request_id="case-7", request_outputs=outputs)


WAYS = {
    "tensor_json": request(TENSOR, binary_in=False),
    "tensor": request(TENSOR, binary_in=True, binary_out=True),
    "tensor_mixed": request(TENSOR, binary_in=True, binary_out=False),
    "files": request(FILES, binary_in=True, binary_out=True),
}


async def main():
    async with InferenceRESTClient(RESTConfig(protocol="v2", timeout=120)) as client:
        live = [
            await client.is_server_live(URL),
            await client.is_server_ready(URL),
            await client.is_model_ready(URL, MODEL),
        ]
        found = {way: await client.infer(URL, given, model_name=MODEL) for way, given in WAYS.items()}
        try:
            await client.infer(URL, {"inputs": []}, model_name=MODEL)
        except httpx.HTTPStatusError as error:
            failure = [error.response.status_code, str(error)]
    answers = {way: answer.get_output_by_name("probabilities").as_numpy() for way, answer in found.items()}
    np.savez(FOLDER / "answers.npz", **answers)
    ids = [answer.id for answer in found.values()]
    facts = {"live": all(live), "ids": ids, "error": failure}
    (FOLDER / "facts.json").write_text(json.dumps(facts))


asyncio.run(main())
