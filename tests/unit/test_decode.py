"""Verification's own reading of the source, where it needs no server to be judged."""

from __future__ import annotations

import pytest

from entrypoint.transfer.conversions import choose_conversion
from entrypoint.transfer.verify import decode
from tests.cells import make_type

MOMENTS_OF_ONE_TIME = (
    "2024-01-02 03:04:05.1 UTC",  # Ruby's Time#to_s
    "2024-01-02t03:04:05.1 GMT",
    "2024-01-02 03:04:05.1UTC",
    "2024-01-02 03:04:05.1 +0000 UTC m=+0.01",
    "2024-01-02 05:04:05.1 +0200 CEST",
    "2024-1-2 3:04:05.1 Z",
)


@pytest.mark.parametrize("text", MOMENTS_OF_ONE_TIME)
def test_the_zone_behind_a_clock(text: str) -> None:
    conversion = choose_conversion(make_type("timestamp with time zone"))
    assert decode.expect(conversion, text, timezone="Asia/Tokyo") == 1_704_164_645_100_000
