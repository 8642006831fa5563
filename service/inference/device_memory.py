"""Device memory: staging buffers, and copies between host and device."""

import ctypes
import weakref
from typing import Protocol

import numpy as np
from onnxruntime.capi import build_and_package_info

from models.image import Array
from service.inference.onnxruntime import InferenceFailed

_TO_DEVICE, _TO_HOST = 1, 2  # cudaMemcpyKind


class DeviceMemory(Protocol):
    """The memory of one device, which ONNX Runtime calls `device`."""

    device: str

    def staging(self, shape: tuple[int, ...]) -> Array:
        """Returns a zeroed float32 host array from which copies to the device are fast."""

    def upload(self, source: Array, address: int) -> None:
        """Copies a contiguous host array to a device address."""

    def download(self, address: int, target: Array) -> None:
        """Fills a contiguous host array from a device address."""


class HostMemory:
    """The memory of the host, with which the code for GPUs is tested."""

    device = "cpu"

    def staging(self, shape: tuple[int, ...]) -> Array:
        return np.zeros(shape, np.float32)

    def upload(self, source: Array, address: int) -> None:
        ctypes.memmove(address, source.ctypes.data, source.nbytes)

    def download(self, address: int, target: Array) -> None:
        ctypes.memmove(target.ctypes.data, address, target.nbytes)


class CudaMemory:
    """The memory of the GPU. Staging buffers are pinned (page-locked), so that the GPU reads them at full bus speed.

    ONNX Runtime's Python interface has no pinned memory, and its copies hold Python's global interpreter lock; calls
    through ctypes release it. The library is the one that the CUDA provider has loaded.
    """

    device = "cuda"

    def __init__(self) -> None:
        major = build_and_package_info.cuda_version.split(".")[0]
        self._cudart = ctypes.CDLL(f"libcudart.so.{major}")
        self._cudart.cudaGetErrorString.restype = ctypes.c_char_p

    def staging(self, shape: tuple[int, ...]) -> Array:
        size = 4 * int(np.prod(shape))
        address = ctypes.c_void_p()
        self._check(self._cudart.cudaMallocHost(ctypes.byref(address), ctypes.c_size_t(size)))
        pages = (ctypes.c_char * size).from_address(address.value or 0)
        weakref.finalize(pages, self._cudart.cudaFreeHost, address).atexit = False  # CUDA has shut down by then
        array: Array = np.frombuffer(memoryview(pages), np.float32).reshape(shape)
        array[:] = 0
        return array

    def upload(self, source: Array, address: int) -> None:
        self._copy(address, source.ctypes.data, source.nbytes, _TO_DEVICE)

    def download(self, address: int, target: Array) -> None:
        self._copy(target.ctypes.data, address, target.nbytes, _TO_HOST)

    def _copy(self, target: int, source: int, size: int, kind: int) -> None:
        self._check(
            self._cudart.cudaMemcpy(ctypes.c_void_p(target), ctypes.c_void_p(source), ctypes.c_size_t(size), kind)
        )

    def _check(self, status: int) -> None:
        if status:
            self._cudart.cudaGetLastError()  # clears the error, which ONNX Runtime would attribute to its next kernel
            reason = self._cudart.cudaGetErrorString(status).decode()
            raise InferenceFailed(f"CUDA cannot allocate or copy a batch: {reason}.")
