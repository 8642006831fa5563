"""Tests of host memory as device memory: staging, upload and download."""

import numpy as np

from service.inference.device_memory import HostMemory


def test_a_batch_is_uploaded_and_downloaded() -> None:
    memory = HostMemory()
    staging, device = memory.staging((2, 3)), memory.staging((2, 3))
    assert (staging.dtype, staging.any()) == (np.float32, False)
    staging[:] = [[1, 2, 3], [4, 5, 6]]
    memory.upload(staging[:1], device.ctypes.data)
    assert device.tolist() == [[1, 2, 3], [0, 0, 0]]
    target = np.empty((1, 3), np.float32)
    memory.download(device.ctypes.data, target)
    assert target.tolist() == [[1, 2, 3]]
