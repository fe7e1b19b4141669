"""Payloads as people store them, made without waiting long, and changed without being copied."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["KINDS", "make", "refresh"]

KINDS = ("floats", "weights", "categories", "csv", "zeros", "dictionaries")


def make(kind: str, size: int, seed: int = 0) -> Any:
    """A value of about `size` bytes.

    Args:
        kind: `floats` are random and incompressible; `weights` are float32 as a network has them.
        size: Bytes of its payload, about.
        seed: Another seed makes other values.
    """
    rng = np.random.default_rng(seed)
    if kind == "floats":
        return rng.random(size // 8)
    if kind == "weights":
        return rng.normal(0, 0.02, size // 4).astype(np.float32)
    if kind == "categories":
        return rng.integers(0, 1000, size // 8)
    if kind == "zeros":
        return np.zeros(size // 8)
    if kind == "csv":
        rows = rng.random(100_000)
        text = "".join(f"{i},{row:.6f},city-{i % 97}\n" for i, row in enumerate(rows)).encode()
        return (text * (size // len(text) + 1))[:size]
    if kind == "dictionaries":
        count = size // 60
        values = rng.random(count).tolist()
        return [{"id": i, "name": f"row {i}", "value": values[i]} for i in range(count)]
    msg = f"no such kind: {kind}"
    raise ValueError(msg)


def refresh(array: Any) -> None:
    """Make every byte of an array of random doubles new to any store, quickly and in place."""
    words = array.reshape(-1).view(np.uint64)
    words += np.random.default_rng().integers(1 << 20, 1 << 40, dtype=np.uint64)
    words ^= np.uint64(0x0005_5555_5555_5555) & np.random.default_rng().integers(
        1 << 52, dtype=np.uint64
    )
