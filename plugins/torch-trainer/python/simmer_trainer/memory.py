"""What freed memory becomes."""

import ctypes
import gc
import platform
from contextlib import suppress


def keep_freed_memory() -> None:
    """
    Has glibc keep what is freed for the next step. Otherwise every step gives its activations back to the kernel and
    takes as many zeroed pages anew: a fifth of a training step on a virtual machine.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    m_trim_threshold, m_mmap_max = -1, -4
    libc = ctypes.CDLL(None)
    libc.mallopt(m_mmap_max, 0)
    libc.mallopt(m_trim_threshold, 2**31 - 1)


def keep_what_there_is() -> None:
    """
    Called where libraries were imported: their half a million objects stay, and are looked at no more where garbage is
    collected. That takes a third of a second otherwise, after each checkpoint, training and generation.
    """
    gc.freeze()


def release_memory() -> None:
    """Gives back what the work that has just ended left behind: the next one needs another shape of memory."""
    gc.collect()
    with suppress(ImportError, RuntimeError):
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    trim_freed_memory()


def trim_freed_memory() -> None:
    """Gives the kernel back what glibc keeps of freed main memory. It takes milliseconds, and the next step longer."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
