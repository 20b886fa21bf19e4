"""What stands where an MLflow server is expected is known by what it says, and the message says what to do."""

import json

import pytest

from difair_hpc.runs.answers import QUESTION, Answer, complaint, in_words

URI = "http://mlflow.site.org"
LOGIN = "<html><head><title>Sign in</title><style>p {}</style></head><body><p>to&nbsp;continue</p></body></html>"


def page(status: int, text: str, **headers: str) -> str:
    return complaint(URI, Answer(status=status, text=text, headers=headers))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"experiment": {"experiment_id": "3", "name": "digits"}}),
        (404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Could not find experiment with name 'digits'"}),
    ],
)
def test_mlflow_is_known_by_its_answer(status: int, body: object) -> None:
    assert page(status, json.dumps(body)) == ""


@pytest.mark.parametrize(
    ("status", "text", "headers", "parts"),
    [
        (301, "", {"location": f"https://new.site.org/ml{QUESTION}?experiment_name=a"},
         ["has moved (301)", "use tracking_uri=https://new.site.org/ml"]),
        (308, "", {"location": f"/ml{QUESTION}?a"}, ["use tracking_uri=http://mlflow.site.org/ml"]),
        (302, LOGIN, {"location": "https://login.site.org/sso?next=x"}, ["https://login.site.org/sso", "login page"]),
        (200, LOGIN, {}, ["answers 200: 'Sign in to continue'", "a login page, or another program"]),
        (200, '{"status": "ok"}', {}, ["""'{"status": "ok"}'""", "not an answer of MLflow"]),
        (200, '{"experiment": null}', {}, ["not an answer of MLflow"]),
        (200, "", {}, ["200 and an empty body"]),
        (200, "[1, 2]", {}, ["not an answer of MLflow"]),
        (404, "<h1>Not Found</h1>", {}, ["404: 'Not Found'", "perhaps its path is missing"]),
        (404, '{"detail": "Not Found"}', {}, ["404: 'Not Found'", "perhaps its path is missing"]),
        (403, "<h1>Access denied</h1> by policy 7", {}, ["'Access denied by policy 7'", "in front of MLflow"]),
        (407, "", {}, ["in front of MLflow (a proxy"]),
        (401, "who are you", {}, ["401: 'who are you'", "in front of MLflow"]),
        (403, "Permission denied", {}, ["Another account made a study of this name", "study=NAME"]),
        (403, '{"error_code": "PERMISSION_DENIED", "message": "no"}', {}, ["Another account", "study=NAME"]),
        (401, "You are not authenticated. Please see https://www.mlflow.org/docs", {}, ["~/.mlflow/credentials"]),
        (429, '{"message": "slow down"}', {"retry-after": "3600"}, ["is busy (429 slow down)", "a pause of 3600 s"]),
        (503, "", {"retry-after": "Fri, 01 Jan 2038 00:00:00 GMT"}, ["is busy (503)", "until Fri, 01 Jan 2038"]),
        (503, "<h1>Maintenance</h1>", {}, ["is busy (503 Maintenance)", "asked again later"]),
        (500, '{"error_code": "INTERNAL_ERROR", "message": "disk"}', {}, ["MLflow answers INTERNAL_ERROR: disk"]),
        (502, "<h1>Bad Gateway</h1>", {}, ["502: 'Bad Gateway'"]),
    ],
)  # fmt: skip
def test_what_else_answers_is_named_with_its_words_and_what_to_do(
    status: int, text: str, headers: dict[str, str], parts: list[str]
) -> None:
    said = page(status, text, **headers)
    for part in parts:
        assert part in said
    assert ("Another account" in said) == any("Another account" in part for part in parts)


def test_a_proxy_of_the_environment_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://me:secret@proxy.site.org:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    said = page(403, "blocked")
    assert "http_proxy=http://proxy.site.org:3128: NO_PROXY=mlflow.site.org leaves it out" in said
    monkeypatch.setenv("no_proxy", "site.org")
    assert "http_proxy" not in page(403, "blocked")


def test_a_long_page_is_shown_by_its_beginning() -> None:
    assert in_words("<p>" + "word " * 1000).endswith("word…")
    assert len(in_words("x" * 1000)) < 200
