"""Times, input schema, artifact, storage, workspace and atomic files."""

import resource
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serin import artifact, storage
from serin.atomic import replaced, write_text
from serin.errors import ArtifactError, DataError, SerinError, UnavailableError
from serin.schema import CALENDAR, InputColumn, InputSchema, calendar
from serin.times import format_duration, parse_duration, parse_time
from serin.workspace import Workspace
from tests.examples import examples


@examples(100)
@given(st.integers(min_value=0, max_value=10**8))
def test_duration_reads_back_what_it_wrote(seconds):
    assert parse_duration(format_duration(timedelta(seconds=seconds))) == timedelta(seconds=seconds)


def test_time_without_offset_is_utc_and_with_one_is_converted():
    assert parse_time("2018-06-01") == datetime(2018, 6, 1, tzinfo=UTC)
    assert parse_time("2018-06-01T02:00+02:00") == datetime(2018, 6, 1, tzinfo=UTC)


def test_time_that_is_none_says_how_to_write_one():
    with pytest.raises(SerinError, match=r"'tomorrow' is no time; write a date \(2018-06-01\)"):
        parse_time("tomorrow")


def test_calendar_features_of_known_moments():
    moments = [datetime(1970, 1, 1, 5, tzinfo=UTC), datetime(2018, 5, 27, 23, 59, tzinfo=UTC)]  # Thursday, Sunday
    assert calendar("weekday", moments).tolist() == [3, 6]
    assert calendar("hour", moments).tolist() == [5, 23]
    assert calendar("weekend", moments).tolist() == [0, 1]
    assert calendar("night", moments).tolist() == [1, 0]


def test_night_ends_at_seven_and_the_weekend_is_saturday_and_sunday():
    moments = np.array(["2018-06-01T06:59:59", "2018-06-01T07:00", "2018-06-02", "2018-06-04"], "datetime64[s]")
    assert calendar("night", moments).tolist() == [1, 0, 1, 1]
    assert calendar("weekend", moments).tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize("name", CALENDAR)
def test_calendar_features_reach_their_highest_value_and_no_higher(name):
    hours = np.arange("2018-06-01", "2018-06-08", dtype="datetime64[h]")
    values = calendar(name, hours)
    assert (values.min(), values.max()) == (0, CALENDAR[name])


def test_unknown_calendar_feature_says_which_there_are():
    with pytest.raises(ValueError, match="'month' is no calendar feature; allowed: hour, weekday, night, weekend"):
        calendar("month", [])


def test_encode_puts_columns_in_order_and_turns_unknown_into_nan():
    schema = InputSchema(
        columns=(
            InputColumn(name="city", kind="category", categories=("Bern", "Genf")),
            InputColumn(name="amount"),
        )
    )
    encoded = schema.encode({"amount": [1, None, 2.5], "city": ["Genf", "Bern", "Rom"]})
    assert encoded.dtype == np.float32
    np.testing.assert_array_equal(encoded, np.array([[1, 1], [0, np.nan], [np.nan, 2.5]], np.float32))


def test_missing_category_is_not_the_category_that_is_called_so():
    schema = InputSchema(columns=(InputColumn(name="city", kind="category", categories=("None", "nan")),))
    encoded = schema.encode({"city": [None, float("nan"), "None", "nan"]})
    np.testing.assert_array_equal(encoded[:, 0], np.array([np.nan, np.nan, 0, 1], np.float32))


@pytest.fixture
def sealed(tmp_path):
    (tmp_path / "model.ubj").write_bytes(b"model")
    manifest = artifact.Manifest(
        use_case="u", model_name="u", estimator="xgboost", models={"xgboost": "model.ubj"}, engine="xgboost",
        feature_service="u_v1",
        entities=(), inputs=InputSchema(columns=(InputColumn(name="x"),)), threshold=0.5, data_snapshot="s",
        as_of="2018-06-01",
    )  # fmt: skip
    return tmp_path, artifact.seal(tmp_path, manifest)


def test_sealed_artifact_verifies(sealed):
    folder, manifest = sealed
    assert artifact.verify(folder) == manifest


def test_changed_file_is_named_with_both_hashes(sealed):
    folder, _ = sealed
    (folder / "model.ubj").write_bytes(b"other")
    with pytest.raises(ArtifactError, match=r"model\.ubj was changed: its SHA-256 is \w{12}…, the manifest has"):
        artifact.verify(folder)


@pytest.mark.parametrize("change", ["add", "remove"])
def test_file_that_only_manifest_or_folder_has_is_named(sealed, change):
    folder, _ = sealed
    if change == "add":
        (folder / "evil.pkl").write_bytes(b"")
    else:
        (folder / "model.ubj").unlink()
    with pytest.raises(ArtifactError, match=r"files and manifest differ on (evil\.pkl|model\.ubj)"):
        artifact.verify(folder)


def test_folder_without_manifest_is_no_artifact(tmp_path):
    with pytest.raises(ArtifactError, match=r"is no model artifact: it holds no manifest\.json"):
        artifact.verify(tmp_path)


def test_folder_that_is_not_there_is_said_to_be_absent(tmp_path):
    with pytest.raises(ArtifactError, match="none is no model artifact: there is no such folder"):
        artifact.verify(tmp_path / "none")


def test_artifact_of_the_other_sort_is_said_to_be_served_otherwise(sealed, tmp_path):
    folder, _ = sealed
    with pytest.raises(ArtifactError, match="a model that Serin trained; it is served without --kind"):
        artifact.verify_files(folder)
    other = tmp_path / "other"
    other.mkdir()
    artifact.seal_files(other)
    with pytest.raises(ArtifactError, match="another kind of model; it is served with --kind"):
        artifact.verify(other)


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail_half_way():
        with replaced(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_folder_is_replaced_as_a_whole(tmp_path):
    for content in ("one", "two"):
        with replaced(tmp_path / "d") as temporary:
            temporary.mkdir()
            (temporary / content).touch()
    assert [p.name for p in (tmp_path / "d").iterdir()] == ["two"]
    assert [p.name for p in tmp_path.iterdir()] == ["d"]


def test_folder_changes_places_with_the_new_one_in_one_step(tmp_path, monkeypatch):
    """At no moment is there no folder: nothing but the exchange may move it."""
    target = tmp_path / "d"
    target.mkdir()
    (target / "old").touch()

    def moved(self, to):
        raise AssertionError(f"{self} was moved to {to}")

    with replaced(target) as temporary:
        temporary.mkdir()
        (temporary / "new").touch()
        monkeypatch.setattr(Path, "rename", moved)
    assert [path.name for path in target.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [target]


@pytest.fixture
def no_exchange(monkeypatch):
    """A system that can't exchange two folders in one step."""
    monkeypatch.setattr("serin.atomic.ctypes.CDLL", lambda *_, **__: object())


def test_folder_is_replaced_where_the_system_has_no_exchange(tmp_path, no_exchange):
    test_folder_is_replaced_as_a_whole(tmp_path)


def test_folder_of_a_process_that_ended_between_two_renames_comes_back(tmp_path, no_exchange, monkeypatch):
    target = tmp_path / "d"
    target.mkdir()
    (target / "old").touch()
    rename = Path.rename

    def killed(self, to):
        if self.suffix == ".tmp":
            raise KeyboardInterrupt
        return rename(self, to)

    def write(*, fails):
        with replaced(target) as temporary:
            temporary.mkdir()
            if fails:
                raise RuntimeError

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        write(fails=False)
    assert not target.exists()
    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(RuntimeError):
        write(fails=True)
    assert [path.name for path in target.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [target]


@contextmanager
def full_disk():
    """No file may grow beyond 1,000 bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_full_disk_names_the_file_and_leaves_the_old_one(tmp_path):
    text, table = tmp_path / "a.txt", tmp_path / "a.parquet"
    write_text(text, "old")
    storage.write_table(pa.table({"a": [1]}), str(table))
    with full_disk():
        with pytest.raises(
            UnavailableError, match=r"/a\.txt can't be written: File too large; nothing was half-written"
        ):
            write_text(text, "new" * 1000)
        with pytest.raises(
            UnavailableError, match=r"/a\.parquet can't be written: File too large; nothing was half-written"
        ):
            storage.write_table(pa.table({"a": np.arange(10_000)}), str(table))
    assert text.read_text() == "old"
    assert storage.read_file(str(table)).to_pydict() == {"a": [1]}
    assert sorted(tmp_path.iterdir()) == [table, text]


def test_folder_that_can_not_be_made_is_named(tmp_path):
    (tmp_path / "d").write_text("a file where the folder should be")
    with pytest.raises(UnavailableError, match=r"/d/a\.txt can't be written: File exists; nothing was half-written"):
        write_text(tmp_path / "d" / "a.txt", "")


def test_error_of_the_callers_own_block_stays_what_it_is(tmp_path):
    with pytest.raises(FileNotFoundError), replaced(tmp_path / "a"):
        (tmp_path / "none").read_text()


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"no Parquet at all", "cut", "flip"])
def test_damaged_file_is_named_with_the_cause(tmp_path, damage):
    path = tmp_path / "x.parquet"
    storage.write_table(pa.table({"a": np.arange(10_000)}), str(path))
    whole = bytearray(path.read_bytes())
    if damage == "cut":
        damage = whole[:-20]
    elif damage == "flip":  # a page that no longer holds what was written: Parquet itself would read it
        whole[len(whole) // 3] ^= 255
        damage = whole
    path.write_bytes(damage)
    with pytest.raises(DataError, match=rf"{path} is damaged: .+"):
        storage.read_file(str(path))


def test_file_that_is_out_of_reach_is_not_called_damaged(tmp_path):
    with pytest.raises(UnavailableError, match=r"/x\.parquet can't be read: .*No such file"):
        storage.read_file(str(tmp_path / "x.parquet"))


def test_cluster_profile_names_the_endpoints_it_lacks():
    with pytest.raises(UnavailableError, match="needs MLFLOW_TRACKING_URI to be set"):
        Workspace.from_variables({"SERIN_PROFILE": "cluster", "SERIN_STORAGE": "s3://b/x"})


def test_unknown_profile_names_those_there_are():
    with pytest.raises(UnavailableError, match="SERIN_PROFILE is 'prod'; allowed: local, cluster"):
        Workspace.from_variables({"SERIN_PROFILE": "prod"})


def test_root_without_feature_repo_is_refused(tmp_path):
    with pytest.raises(UnavailableError, match=r"holds no feature_repo/feature_store\.yaml"):
        Workspace.from_variables({"SERIN_ROOT": str(tmp_path)})
