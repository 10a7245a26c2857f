"""What callers are told of errors, and what the log says of those that are ours."""

import asyncio
import io
import json
import sys
from http import HTTPStatus

import orjson
import pytest
from grpc import StatusCode

from predictors.edge.errors import RefusedError, answer, told
from predictors.faults import FaultLog, where
from predictors.identity import Identity
from predictors.requests.schema import check_id
from serin.errors import NotFoundError, OverloadedError, RequestError, UnavailableError

IDENTITY = Identity("card-fraud", "12", "card-fraud-v12")


@pytest.mark.parametrize(
    ("error", "status", "code", "counted"),
    [
        (RequestError("row 0: no"), 400, StatusCode.INVALID_ARGUMENT, "invalid"),
        (NotFoundError("no such version"), 404, StatusCode.NOT_FOUND, "invalid"),
        (RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, "POST"), 405, StatusCode.UNIMPLEMENTED, "invalid"),
        (RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "8 MiB"), 413, StatusCode.RESOURCE_EXHAUSTED, "invalid"),
        (RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "gzip"), 415, StatusCode.INVALID_ARGUMENT, "invalid"),
        (UnavailableError("redis is away"), 503, StatusCode.UNAVAILABLE, "error"),
        (OverloadedError("full", 2), 503, StatusCode.UNAVAILABLE, "overloaded"),
        (ZeroDivisionError("secret"), 500, StatusCode.INTERNAL, "error"),
    ],
)
def test_each_error_has_its_status_in_http_and_grpc_and_the_metrics(
    error: Exception, status: int, code: StatusCode, counted: str
) -> None:
    found = told(error, "r-1")
    assert (found.status, found.code, found.counted) == (status, code, counted)
    assert found.ours == (status >= 500)
    assert answer(error, "r-1")[0] == status


def test_an_error_that_is_not_expected_keeps_its_text_to_itself_and_names_the_request() -> None:
    found = told(ZeroDivisionError("secret"), "r-1")
    assert "secret" not in found.text
    assert "r-1" in found.text


@pytest.mark.parametrize("error", [OverloadedError("full", 2), UnavailableError("away", 2)])
def test_an_answer_that_may_come_later_says_when_to_ask_again(error: UnavailableError) -> None:
    found = told(error)
    assert found.headers == {"retry-after": "2"}
    assert found.metadata == (("retry-after", "2"), ("grpc-retry-pushback-ms", "2000"))


def test_what_does_not_know_when_it_is_back_says_nothing_of_it() -> None:
    assert told(UnavailableError("away")).metadata == ()


def test_headers_of_a_refusal_are_passed_on() -> None:
    status, body, headers = answer(
        RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, "GET: allowed is POST", {"allow": "POST"})
    )
    assert status == 405
    assert orjson.loads(body) == {"error": "GET: allowed is POST"}
    assert (b"allow", b"POST") in headers
    assert (b"content-length", str(len(body)).encode()) in headers


def test_a_lone_surrogate_of_the_request_is_spelled_out() -> None:
    with pytest.raises(RequestError) as caught:
        check_id("\ud800")
    assert "ud800" in orjson.loads(answer(caught.value)[1])["error"]


def test_a_fault_is_one_line_with_what_is_needed_to_find_it() -> None:
    lines: list[str] = []
    try:
        check_id(None)  # type: ignore[arg-type]
    except TypeError as error:
        FaultLog(IDENTITY, lines.append).fault(error, "r-\ud800")
    line = json.loads(lines[0])
    assert line.pop("time")
    assert line.pop("traceback").startswith("Traceback")
    assert line.pop("where").startswith("predictors/requests/schema.py:")
    assert line == {
        "level": "error",
        "request_id": "r-\ud800",
        "model": "card-fraud",
        "version": "12",
        "deployment": "card-fraud-v12",
        "error": "TypeError",
        "message": "object of type 'NoneType' has no len()",
        "count": 1,
    }


def test_an_error_that_was_never_raised_has_no_place() -> None:
    assert where(ValueError()) == ""


def test_what_is_unavailable_has_a_line_a_second_and_none_is_left_out() -> None:
    lines: list[str] = []

    async def fail() -> None:
        log = FaultLog(IDENTITY, lines.append)
        for number in range(5):
            log.fault(UnavailableError("redis is away"), f"r-{number}")
        log.fault(OverloadedError("full", 1), "other")
        await asyncio.sleep(1.1)
        log.fault(UnavailableError("redis is away"), "r-5")
        log.close()

    asyncio.run(fail())
    told = [(line["error"], line["request_id"], line["count"]) for line in map(json.loads, lines)]
    assert told == [
        ("UnavailableError", "r-0", 1),
        ("OverloadedError", "other", 1),
        ("UnavailableError", "r-1", 4),
        ("UnavailableError", "r-5", 1),
    ]


def test_errors_of_ours_each_have_their_line() -> None:
    lines: list[str] = []
    log = FaultLog(IDENTITY, lines.append)
    for number in range(3):
        log.fault(ValueError("odd"), f"r-{number}")
    assert [json.loads(line)["request_id"] for line in lines] == ["r-0", "r-1", "r-2"]


class Unread(io.StringIO):
    """A pipe whose reader is gone."""

    def write(self, _text: str) -> int:
        raise BrokenPipeError


def test_fault_is_no_fault_of_its_own_where_nobody_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Unread())
    FaultLog(IDENTITY).fault(ValueError("lost"), "r-1")
