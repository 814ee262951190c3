"""Which files a printf mask stands for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_processor.errors import UnsuitableStream
from luna_processor.sources.mask import parse_mask


@pytest.mark.parametrize(
    ("mask", "names", "numbers"),
    [
        pytest.param("f_%04d.jpg", ["f_0002.jpg", "f_0000.jpg", "f_0010.jpg"], [0, 2, 10], id="in order, with gaps"),
        pytest.param("%d.jpg", ["10.jpg", "9.jpg", "1.jpg"], [1, 9, 10], id="by number, not by name"),
        pytest.param("%d.jpg", ["007.jpg", "7.jpg"], [7], id="no zeros unless asked for"),
        pytest.param("%03d.jpg", ["7.jpg", "07.jpg", "007.jpg", "1007.jpg"], [7, 1007], id="three digits at least"),
        pytest.param("%3d.png", ["  7.png", "007.png", " 17.png"], [7, 17], id="blanks"),
        pytest.param("100%%_%i.bmp", ["100%_5.bmp", "100%%_6.bmp"], [5], id="percent sign"),
        pytest.param("a.b(%u).jpg", ["a.b(3).jpg", "axb(4).jpg"], [3], id="no regular expression"),
        pytest.param("*_%d.jpg", ["cam_1.jpg", "*_2.jpg"], [2], id="no wildcard"),
        pytest.param("%d.jpg", ["-1.jpg", "x1.jpg", "1.jpg.tmp", "٣.jpg", "1.JPG"], [], id="others"),
    ],
)
def test_a_mask_stands_for_what_printf_writes(mask: str, names: list[str], numbers: list[int]) -> None:
    assert parse_mask(mask).numbers(names) == numbers


@pytest.mark.parametrize(
    ("mask", "text"),
    [
        pytest.param("", "0 numbers", id="empty"),
        pytest.param("photo.jpg", "0 numbers: a mask is a printf pattern", id="no number"),
        pytest.param("*.jpg", "0 numbers", id="wildcard"),
        pytest.param("%d_%d.jpg", "2 numbers", id="two numbers"),
        pytest.param("%s.jpg", "cannot be used", id="text"),
        pytest.param("%-4d.jpg", "cannot be used", id="flag"),
        pytest.param("%099999999d.jpg", "cannot be used", id="very wide"),
        pytest.param("50%", "cannot be used", id="percent at the end"),
        pytest.param("../%d.jpg", "without a folder", id="upwards"),
        pytest.param("/etc/%d", "without a folder", id="absolute"),
        pytest.param("sub/%d.jpg", "without a folder", id="folder"),
    ],
)
def test_what_is_no_mask_is_refused_with_the_reason(mask: str, text: str) -> None:
    with pytest.raises(UnsuitableStream, match=text):
        parse_mask(mask)


@given(st.integers(0, 10**9), st.integers(0, 12), st.sampled_from(["", "0"]))
def test_every_name_that_is_written_is_found_again(number: int, width: int, zero: str) -> None:
    pattern = f"a%{zero}{width or ''}d.jpg"
    mask = parse_mask(pattern)
    assert mask.name(number) == pattern % number
    assert mask.numbers([pattern % number]) == [number]
