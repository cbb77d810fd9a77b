"""What may stand in the query of a rendered resource."""

from typing import Any

import pytest

from adapters.dicom.pixels import parameters
from adapters.dicom.pixels.geometry import Viewport
from adapters.dicom.pixels.request import Picture
from adapters.dicom.pixels.voi import Window
from fhir_server.errors import BadRequest

MOST = 4096 * 4096


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, {}),
        ({"window": "40,400,linear"}, {"window": Window(40, 400)}),
        ({"window": "-1.5,.5,sigmoid"}, {"window": Window(-1.5, 0.5, "SIGMOID")}),
        ({"window": "0,1,linear-exact"}, {"window": Window(0, 1, "LINEAR_EXACT")}),
        ({"viewport": "10,20"}, {"viewport": Viewport(10, 20)}),
        ({"viewport": "10,20,1,2"}, {"viewport": Viewport(10, 20, 1, 2)}),
        ({"viewport": "10,20,,,5,-6"}, {"viewport": Viewport(10, 20, 0, 0, 5, -6)}),
        ({"quality": "100"}, {"quality": 100}),
        ({"annotation": "technique,patient"}, {"annotation": ("patient", "technique")}),
        ({"annotation": ""}, {"annotation": ()}),
        ({"iccprofile": "rommrgb"}, {"icc": "rommrgb"}),
    ],
)
def test_query_is_read(query: dict[str, str], expected: dict[str, Any]) -> None:
    found = parameters.picture(query, "png", most_pixels=MOST)
    assert found == Picture(format="png", most_pixels=MOST, **expected)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("window", "40,400"),
        ("window", "40,400,linear,1"),
        ("window", "40,0.5,linear"),
        ("window", "40,0,sigmoid"),
        ("window", "40,-1,linear-exact"),
        ("window", "a,1,linear"),
        ("window", "nan,1,linear"),
        ("window", "1,inf,linear"),
        ("window", "1,1,cubic"),
        ("viewport", ""),
        ("viewport", "10"),
        ("viewport", "0,10"),
        ("viewport", "4097,4096"),
        ("viewport", "1.5,2"),
        ("viewport", "10,10,0,0,0,5"),
        ("viewport", "10,10,-1,0,5,5"),
        ("viewport", "1,2,3,4,5,6,7"),
        ("quality", "0"),
        ("quality", "101"),
        ("quality", "best"),
        ("quality", "²"),
        ("quality", "1" * 5_000),
        ("annotation", "everything"),
        ("iccprofile", "cmyk"),
    ],
)
def test_value_that_means_nothing_is_refused(name: str, value: str) -> None:
    with pytest.raises(BadRequest):
        parameters.picture({name: value}, "png", most_pixels=MOST)
