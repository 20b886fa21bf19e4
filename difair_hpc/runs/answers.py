"""What an answer means where an MLflow server is expected: its body tells, not its status alone.

A proxy, a login page or another program answers with the same numbers as MLflow does. So one question is asked whose
answer nobody else gives: an experiment by its name, which is there (`experiment`) or is not (`error_code`).
"""

import html
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from difair_hpc.errors import Failure
from difair_hpc.runs.server import CREDENTIALS
from difair_hpc.runs.sqlite import made_anew, sqlite_path

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

QUESTION = "/api/2.0/mlflow/experiments/get-by-name"
NO_ANSWER = 599
"""Stands for the number of an answer that did not come."""
WAIT_SECONDS = 5
"""Longest pause that a request makes because the server asks for it (Retry-After); after that it has failed."""

_BUSY = (429, 503)
_SHOWN = 160
"""Most characters of a body that are shown."""
_OTHER_ACCOUNT = "Another account made a study of this name there: give yours another with study=NAME."
_PASSWORD = (
    f"The server knows no such user and password: MLflow looks for them in {CREDENTIALS} (mode 600), and before "
    "that in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
)
ELSEWHERE = "Choose another store with tracking_uri=…"
_SCHEMA_DIFFERS = "database schema"
"""What MLflow says of a store that another version of it wrote."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """An answer over HTTP."""

    status: int
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)
    """By name in small letters."""


def complaint(uri: str, answer: Answer) -> str:
    """Return why a server cannot be used and what to do, from its answer to the question; empty: it is MLflow's."""
    body, said = _mapping(answer.text), in_words(answer.text)
    code = body.get("error_code")
    if code == "RESOURCE_DOES_NOT_EXIST" or (answer.status == 200 and isinstance(body.get("experiment"), dict)):
        return ""
    if 300 <= answer.status < 400:
        return _moved(uri, answer)
    if answer.status in _BUSY:
        return _busy(answer, said)
    if code == "PERMISSION_DENIED" or (answer.status == 403 and answer.text.strip() == "Permission denied"):
        return f"it answers with error code 403 ({said}). {_OTHER_ACCOUNT}"
    if answer.status == 401 and said.startswith("You are not authenticated. Please see https://www.mlflow.org"):
        return f"it answers with error code 401. {_PASSWORD}"
    return f"MLflow answers {code}: {said}. {ELSEWHERE}" if isinstance(code, str) else _foreign(uri, answer, said)


def _busy(answer: Answer, said: str) -> str:
    pause = answer.headers.get("retry-after", "")
    asked = f" and asks for a pause{f' of {pause} s' if pause.isdigit() else f' until {pause}'}" if pause else ""
    return f"it is busy ({answer.status} {said}".rstrip() + f"){asked}; it is asked again later."


def _moved(uri: str, answer: Answer) -> str:
    target = urljoin(uri, answer.headers.get("location", ""))
    base, found, _ = target.partition(QUESTION)
    if found:
        return f"it has moved ({answer.status}): use tracking_uri={base}"
    return (
        f"it sends whoever asks to {in_words(target)} ({answer.status}), a login page or another program: MLflow's own "
        f"address is needed, or what lets programs in. {ELSEWHERE}"
    )


def _foreign(uri: str, answer: Answer, said: str) -> str:
    """Return what is said of an answer that is not MLflow's."""
    shown = f"{answer.status}: {said!r}" if said else f"{answer.status} and an empty body"
    if answer.status == 200:
        what = "that is not an answer of MLflow: a login page, or another program, at this address"
    elif answer.status == 404:
        what = "that is not an answer of MLflow: perhaps its path is missing, as in http://HOST/mlflow"
    elif answer.status in (401, 403, 407):
        what = "that is said by something in front of MLflow (a proxy, a firewall), which lets this machine not through"
    else:
        what = "that is said by something in front of MLflow, or MLflow itself is out of order"
    return f"it answers {shown}; {what}. {proxy_of(uri)}{ELSEWHERE}"


def proxy_of(uri: str) -> str:
    """Return which proxy of the environment requests to a server go through, and how to leave it out; else nothing."""
    parts = urlsplit(uri)
    host, proxy = parts.hostname or "", getproxies().get(parts.scheme, "")
    if not proxy or proxy_bypass(host):
        return ""
    shown = re.sub(r"//[^/@]*@", "//", proxy)
    return f"Requests go through {parts.scheme}_proxy={shown}: NO_PROXY={host} leaves it out. "


def in_words(text: str) -> str:
    """Return the beginning of a body as one line: a page without its tags, of JSON the message."""
    body = _mapping(text)
    message = next((body[key] for key in ("message", "detail", "error") if isinstance(body.get(key), str)), None)
    plain = message or re.sub(r"(?is)<(script|style)\b.*?</\1>|<[^>]*>", " ", text)
    line = "".join(sign for sign in " ".join(html.unescape(plain).split()) if sign.isprintable()).rstrip(".")
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN].rstrip()}…"


def answer_of(error: Exception) -> Answer | None:
    """Return the answer of a store that became an exception; None: it does not come from a store."""
    from mlflow.exceptions import MlflowException, RestException
    from requests import HTTPError, RequestException
    from sqlalchemy.exc import SQLAlchemyError

    text, answer = str(error), None
    if isinstance(error, HTTPError) and error.response is not None:
        answer = Answer(status=error.response.status_code, text=error.response.text)
    elif isinstance(error, RestException):
        answer = Answer(status=_number(error), text=json.dumps(error.json))
    elif said := re.search(r"failed with error code (\d{3}).*?Response body: '(.*)'$", text, re.DOTALL):
        answer = Answer(status=int(said[1]), text=said[2])
    elif said := re.search(r"too many (\d{3}) error responses", text):
        answer = Answer(status=int(said[1]), text="")
    elif said := re.search(r"was successful but .*Response body: '(.*)'$", text, re.DOTALL):
        answer = Answer(status=200, text=said[1])
    elif isinstance(error, MlflowException) and "failed with" not in text:
        answer = Answer(status=_number(error), text=text)
    elif isinstance(error, MlflowException | RequestException | SQLAlchemyError):
        answer = Answer(status=NO_ANSWER, text=text)
    return answer


def phrase(status: int) -> str:
    """Return what a number means, such as Forbidden."""
    return next((one.phrase for one in HTTPStatus if one == status), "")


def ask(client: "MlflowClient", study: str) -> Answer:
    """Ask a server for the experiment of a study, once, and follow no redirection."""
    from mlflow.utils import rest_utils

    store: Any = client._tracking_client.store
    requests: Any = rest_utils
    response = requests.http_request(
        store.get_host_creds(),
        QUESTION,
        "GET",
        params={"experiment_name": study},
        max_retries=0,
        raise_on_status=False,
        allow_redirects=False,
        respect_retry_after_header=False,
    )
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(status=response.status_code, text=response.text, headers=headers)


def require_mlflow(client: "MlflowClient", uri: str, study: str) -> None:
    """Refuse a server that does not answer as MLflow does; one that asks for a short pause is asked once more after it.

    Raises:
        Failure: says what it answers, and what to do.
    """
    answer = ask(client, study)
    pause = answer.headers.get("retry-after", "") if answer.status in _BUSY else ""
    if pause.isdecimal() and int(pause) <= WAIT_SECONDS:
        time.sleep(int(pause))
        answer = ask(client, study)
    if found := complaint(uri, answer):
        raise Failure(cannot_be_used(uri, found))


def wrong(uri: str, error: Exception) -> str:
    """Return why a store cannot be used and what to do, from the exception that it gave."""
    answer = answer_of(error)
    if answer is not None and answer.status != NO_ANSWER and uri.startswith("http"):
        return complaint(uri, answer) or f"it answers {answer.status}: {in_words(answer.text)}. {ELSEWHERE}"
    reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
    if (path := sqlite_path(uri)) is None:
        return f"{reason}. {proxy_of(uri)}{ELSEWHERE}"
    if _SCHEMA_DIFFERS in reason:  # MLflow goes on with `mlflow db upgrade`, also where it is itself the older one
        return f"{reason.partition('. ')[0]}. Another version of MLflow wrote it. {made_anew(path)}"
    return f"{reason}. {made_anew(path) if 'not a database' in reason or 'malformed' in reason else ELSEWHERE}"


def cannot_be_used(uri: str, reason: str) -> str:
    """Return the message about a store that cannot be used, whole."""
    later = "Training goes on and nothing is lost: difair sync ships it later."
    return f"the MLflow store {uri} cannot be used: {reason} {later}"


def bound_waits() -> None:
    """Let MLflow's requests make no pause above WAIT_SECONDS: it would wait for as long as a server asks, silently."""
    from mlflow.utils import request_utils
    from urllib3.util import Retry

    requests: Any = request_utils
    if requests.Retry is Retry:
        requests.Retry = partial(Retry, retry_after_max=WAIT_SECONDS)


def _number(error: Any) -> int:
    return int(error.get_http_status_code())


def _mapping(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
