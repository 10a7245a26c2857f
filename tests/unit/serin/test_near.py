import pytest

from serin.near import asked


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("tx_amount", "tx_amount (is it TX_AMOUNT?)"),
        ("amount", "amount (is it TX_AMOUNT?)"),
        ("CustomerId", "CustomerId (is it CUSTOMER_ID?)"),
        ("TX_FRAUD", "TX_FRAUD"),
        ("", ""),
    ],
)
def test_name_that_is_nearly_another_is_asked_about(name: str, told: str) -> None:
    assert asked(name, ["TX_AMOUNT", "CUSTOMER_ID", "CHANNEL"]) == told


def test_nothing_is_asked_where_there_is_no_other_name() -> None:
    assert asked("TX_AMOUNT", []) == "TX_AMOUNT"
