"""The setting `storage=`: what is possible, and that no message shows a password."""

import pytest

from difair_hpc import config
from difair_hpc.errors import InvalidValue, UserError
from difair_hpc.sweep.address import checked, checked_tracking

SECRETS = ("hunter2", "hun/ter2", "hun@ter2", "hun:ter2", "hun#ter2", "hun?ter2", "12/ter2", "12#ter2", "12@ter2")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "postgresql://db.example:5432/optuna",
        "postgresql://somebody@db/optuna",
        "postgresql+psycopg://db/optuna",
        "postgresql://somebody@[::1]:5432/optuna",
        "postgresql:///optuna?host=/run/postgresql&sslmode=require",
    ],
)
def test_what_is_possible_is_returned_as_it_is(address: str) -> None:
    assert checked(address) == address


@pytest.mark.parametrize(
    "address",
    [
        "mysql://db/optuna",
        "postgres://db/optuna",
        "sqlite:///optuna.db",
        "optuna.journal",
        "postgresql://db",
        "postgresql://db/",
        "postgresql://db:port/optuna",
        "postgresql://db:99999/optuna",
        "postgresql://[db/optuna",
    ],
)
def test_anything_else_names_what_is_possible(address: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        checked(address)
    assert str(caught.value) == (
        f"storage={address} is not possible: allowed is nothing (a journal in the study's folder) or "
        "postgresql://HOST:PORT/DATABASE."
    )


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("form", ["postgresql://me:{}@db/optuna", "mysql://me:{}@db/x", "postgresql://:{}@db/optuna"])
def test_a_password_is_refused_and_not_shown(form: str, secret: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        checked(form.format(secret))
    assert "ter2" not in str(caught.value)
    assert "***@db/" in str(caught.value)


@pytest.mark.parametrize("key", ["password", "sslpassword"])
def test_a_password_among_the_options_is_one_too(key: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        checked(f"postgresql://db/optuna?{key}=hunter2&sslmode=require")
    assert "hunter2" not in str(caught.value)
    for part in ("allowed is a URL without a password", "~/.pgpass", "PGPASSWORD"):
        assert part in str(caught.value)


@pytest.mark.parametrize("secret", ["hunter2", "hun=ter2", "hun,ter2", "hun ter2", "hun[ter2", "hun$ter2"])
def test_no_word_with_a_password_comes_back_in_a_message(secret: str) -> None:
    with pytest.raises(UserError) as caught:
        config.settings_only([f"storage=postgresql://me:{secret}@db/optuna"])
    assert "ter2" not in str(caught.value)


def test_the_word_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert config.settings_only([]).storage == ""
    monkeypatch.setenv("DIFAIR_STORAGE", "postgresql://db/theirs")
    assert config.settings_only([]).storage == "postgresql://db/theirs"
    assert config.settings_only(["storage=postgresql://db:5432/mine"]).storage == "postgresql://db:5432/mine"
    assert config.settings_only(["storage="]).storage == ""
    assert config.settings_only(['storage="postgresql:///mine?host=/run"']).storage == "postgresql:///mine?host=/run"
    monkeypatch.setenv("DIFAIR_STORAGE", "redis://db")
    with pytest.raises(InvalidValue, match="storage=redis://db is not possible"):
        config.settings_only([])


@pytest.mark.parametrize(
    "address",
    [
        "",
        "none",
        "./runs",
        "http://there:5000",
        "https://there/mlflow",
        "http://[::1]:5000",
        "postgresql://me@there/mlflow",
        "sqlite:////data/a:b@c/mlflow.db",
        "file:///a:b@c",
    ],
)
def test_an_address_of_mlflow_without_a_password_is_returned_as_it_is(address: str) -> None:
    assert checked_tracking(address) == address


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("form", ["http://me:{}@there:5000", "https://:{}@there", "postgresql://me:{}@db/mlflow"])
def test_a_password_for_mlflow_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, form: str, secret: str
) -> None:
    with pytest.raises(InvalidValue) as caught:
        checked_tracking(form.format(secret))
    assert "ter2" not in str(caught.value)
    assert "MLFLOW_TRACKING_USERNAME" in str(caught.value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", form.format(secret))
    with pytest.raises(InvalidValue, match="tracking_uri=.*~/.mlflow/credentials"):
        config.settings_only([])


def test_a_token_before_the_host_is_refused_as_well() -> None:
    with pytest.raises(InvalidValue) as caught:
        checked_tracking("https://hunter2@there")
    assert str(caught.value).startswith("tracking_uri=https://***@there is not possible")
