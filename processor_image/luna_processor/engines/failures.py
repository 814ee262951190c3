"""Tell what a failure on a GPU means: this picture failed, or nothing will run on that card again in this process.

After some errors of CUDA every further call in the process fails, too, whatever it is about ("sticky" errors: the
context is gone); so it is when the card fell off the bus or its memory is broken. Only a new process may help.
Source: CUDA Runtime API, error handling, the remarks on the codes below.
"""

from __future__ import annotations

import re

from luna_processor.errors import DeviceLost, EngineFailed

LOST_CODES = {
    46: "the card is busy or unavailable",
    100: "there is no card any more",
    101: "there is no such card any more",
    214: "its memory has an error that cannot be corrected",
    220: "a link to another card is broken",
    226: "it met an error that its driver contained",
    700: "a kernel read or wrote where it must not",
    702: "a kernel took too long",
    709: "its context was destroyed",
    714: "its hardware met a stack error",
    715: "a kernel had an instruction that it does not know",
    716: "a kernel met a wrong alignment",
    717: "a kernel used a wrong kind of memory",
    718: "a kernel left its program",
    719: "a kernel failed",
    721: "an error of the last run was found late",
    999: "its driver does not say why",
}
"""Codes of cudaError_t and CUresult (the same numbers) after which the context or the card is gone."""
_CODE = re.compile(r"(?:CUDA|CUDNN|cuda\w*|CU\w*)[^\n]{0,80}?(?:failure|error|code|\()\s*:?\s*\(?(\d{1,3})\b")
_MEMORY = re.compile(
    # The last two are DALI's (`CUDABadAlloc`).
    r"out of memory|Failed to allocate memory|OutOfMemory|OUT_OF_MEMORY|CUDNN_STATUS_ALLOC_FAILED"
    r"|CUDA allocation failed|Can't allocate \d+ bytes",
    re.I,
)
_LOST_WORDS = re.compile(
    r"illegal memory access|unspecified launch failure|uncorrectable ECC|device is lost|GPU is lost|fallen off the bus"
    r"|misaligned address|illegal instruction|hardware stack error|no CUDA-capable device|CUDA context is destroyed",
    re.I,
)
_LINE_LENGTH = 300
"""Characters of the library's words that people get to read."""


def failure(doing: str, said: str) -> EngineFailed:
    """Return the error that follows from what a library said.

    Args:
        doing: what failed.
        said: the text of the library's error.

    Returns:
        A `DeviceLost` if only a new process may help.
    """
    first = next((line.strip() for line in said.splitlines() if line.strip()), "no reason given")[:_LINE_LENGTH]
    if _MEMORY.search(said):
        return EngineFailed(f"{doing}: the memory is full; fewer streams or a smaller --max-batch need less: {first}")
    codes = [int(code) for code in _CODE.findall(said)]
    lost = next((LOST_CODES[code] for code in codes if code in LOST_CODES), None)
    if lost is None and _LOST_WORDS.search(said):
        lost = "see its words"
    if lost is None:
        return EngineFailed(f"{doing}: {first}")
    return DeviceLost(f"the GPU is lost to this worker, {lost}; {doing}: {first}")
