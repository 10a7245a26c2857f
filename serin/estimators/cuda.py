"""Whether XGBoost can train on a GPU here."""

import ctypes

_DRIVER = "libcuda.so.1"


def reason_against() -> str:
    """Why not: the package is built without CUDA, or there is no GPU; "" where it can."""
    import xgboost

    if not xgboost.build_info().get("USE_CUDA"):
        return "this xgboost is built without CUDA (the package xgboost-cpu; xgboost has it)"
    return "" if _gpus() else "this machine has no GPU that its NVIDIA driver knows"


def _gpus() -> int:
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value
