import pytest

from predictors.command_line import parser

NEEDED = ["--model_name", "card-fraud", "--model_dir", "m", "--model_version", "12"]


def test_defaults_are_kserves_ports_and_a_measured_limit() -> None:
    options = parser().parse_args(NEEDED)
    assert (options.http_port, options.grpc_port, options.max_concurrency) == (8080, 8081, None)
    assert 1 <= options.max_threads <= 4
    assert (options.deployment, options.log_spool) == (None, None)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("http_port", "65536", "a whole number, 0 to 65535"),
        ("http_port", "-1", "a whole number, 0 to 65535"),
        ("grpc_port", "8081.5", "a whole number, 0 to 65535"),
        ("grpc_port", "٣", "a whole number, 0 to 65535"),
        ("max_threads", "0", "a whole number, 1 or more"),
        ("max_threads", "many", "a whole number, 1 or more"),
        ("max_concurrency", "0", "a whole number, 1 or more"),
        ("max_concurrency", "9" * 10, "a whole number, 1 or more"),
    ],
)
def test_number_that_is_not_allowed_is_named(
    name: str, value: str, allowed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parser().parse_args([*NEEDED, f"--{name}={value}"])
    assert caught.value.code == 2
    assert f"argument --{name}: found {value!r}, allowed: {allowed}" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["model_name", "model_version", "deployment"])
def test_name_that_no_path_can_hold_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args([*NEEDED, f"--{name}=a/b"])
    assert "'a/b' does not match" in capsys.readouterr().err


def test_last_word_wins_as_the_local_target_needs_it() -> None:
    assert parser().parse_args([*NEEDED, "--http_port=8080", "--http_port=0"]).http_port == 0
