"""Where a run's inputs and outputs lie, and how they get there and back."""

import ctypes
import weakref
from typing import Protocol

import numpy as np
from onnxruntime.capi import build_and_package_info

from models.image import Array
from service.inference.onnxruntime import InferenceFailed

_TO_DEVICE, _TO_HOST = 1, 2  # cudaMemcpyKind


class DeviceMemory(Protocol):
    """Memory of one device, known to ONNX Runtime by the name `device`."""

    device: str

    def staging(self, shape: tuple[int, ...]) -> Array:
        """Zeros (shape) float32 of the host, from which copies to the device are fast."""

    def upload(self, source: Array, address: int) -> None:
        """Copies a contiguous array of the host to an address of the device."""

    def download(self, address: int, target: Array) -> None:
        """Fills a contiguous array of the host from an address of the device."""


class HostMemory:
    """The processor's own: what runs on a GPU is tested on it."""

    device = "cpu"

    def staging(self, shape: tuple[int, ...]) -> Array:
        return np.zeros(shape, np.float32)

    def upload(self, source: Array, address: int) -> None:
        ctypes.memmove(address, source.ctypes.data, source.nbytes)

    def download(self, address: int, target: Array) -> None:
        ctypes.memmove(target.ctypes.data, address, target.nbytes)


class CudaMemory:
    """The GPU's. Staging is pinned (page-locked), which the GPU reads by itself at the full rate of its bus.

    ONNX Runtime's Python interface has no pinned memory, and its copies hold Python's global lock; a call through
    ctypes does not. The library is the one that the CUDA provider has loaded.
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
        weakref.finalize(pages, self._cudart.cudaFreeHost, address).atexit = False  # CUDA is gone by then
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
            self._cudart.cudaGetLastError()  # else ONNX Runtime would find it and blame its next kernel
            reason = self._cudart.cudaGetErrorString(status).decode()
            raise InferenceFailed(f"CUDA cannot hold or move a batch: {reason}.")
