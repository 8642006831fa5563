import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.rates import rate
from benchmarks.roofline import Work, count


def graph(op: str, weights: tuple[int, ...], x: tuple[int | str, ...], **attributes: object) -> onnx.ModelProto:
    return helper.make_model(
        helper.make_graph(
            [helper.make_node(op, ["image", "w"], ["out"], **attributes)],
            "one",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, x)],
            [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", *x[1:]])],
            [numpy_helper.from_array(np.zeros(weights, np.float32), "w")],
        ),
        ir_version=8,
        opset_imports=[helper.make_opsetid("", 17)],
    )


IMAGE = ("N", 4, "H", "W")


@pytest.mark.parametrize(
    ("model", "shape", "multiply_adds", "numbers"),
    [
        # 8 x 8 outputs of 6 channels, each of 4 x 3 x 3 inputs.
        (graph("Conv", (6, 4, 3, 3), IMAGE, pads=[1] * 4), (1, 4, 8, 8), 8 * 8 * 6 * 36, 256 + 216 + 384),
        # Stride 2: a quarter of it.
        (graph("Conv", (6, 4, 3, 3), IMAGE, pads=[1] * 4, strides=[2, 2]), (1, 4, 8, 8), 16 * 6 * 36, 256 + 216 + 96),
        # Depthwise: each channel by itself.
        (graph("Conv", (4, 1, 3, 3), IMAGE, pads=[1] * 4, group=4), (1, 4, 8, 8), 64 * 4 * 9, 256 + 36 + 256),
        # Each of 4 x 8 x 8 inputs goes to 5 channels of 2 x 2.
        (graph("ConvTranspose", (4, 5, 2, 2), IMAGE, strides=[2, 2]), (1, 4, 8, 8), 256 * 20, 256 + 80 + 5 * 256),
        (graph("MatMul", (10, 7), ("N", 10)), (1, 10), 70, 10 + 70 + 7),
        (graph("Gemm", (7, 10), ("N", 10), transB=1), (1, 10), 70, 10 + 70 + 7),
        (graph("Conv", (6, 4, 1, 1), IMAGE), (2, 4, 8, 8), 2 * 64 * 24, 512 + 24 + 768),  # a batch of two
    ],
)
def test_work_is_counted(model: onnx.ModelProto, shape: tuple[int, ...], multiply_adds: int, numbers: int) -> None:
    assert count(model, shape) == Work(multiply_adds, 4 * numbers)


def test_a_rate_counts_the_images_of_every_caller() -> None:
    calls: list[int] = []
    started = time.perf_counter()
    found = rate(lambda: calls.append(1), images=8, callers=2, seconds=0.05)
    passed = (len(calls) - 1) * 8 / found  # the first call is a rehearsal
    assert 0.05 <= passed <= time.perf_counter() - started
