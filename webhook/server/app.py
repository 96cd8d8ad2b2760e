"""The Flask application: ``POST /validate`` and nothing else.

Two channels for two kinds of error. What is wrong with a user's workload stands
inside an AdmissionReview, with HTTP 200. What is wrong with the request itself
is an HTTP status and one line of plain text, which the API server takes for a
failed call and hands to the webhook's ``failurePolicy``:

    400  no AdmissionReview, or a body that could not be read
    404  another path          405  another method
    408  a body that did not come in time
    413  a body past the limit 415  a content type that is not application/json
    503  the review itself broke: a fault of ours; the log has its type and place, never its words
"""

import logging
import re
import time

from flask import Flask, Response, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import (
    BadRequest,
    ClientDisconnected,
    HTTPException,
    RequestEntityTooLarge,
    RequestTimeout,
)

from webhook.deadline import Deadline
from webhook.review.answer import MalformedReview
from webhook.server.logs import fault, one_line
from webhook.server.metrics import Metrics
from webhook.server.service import Service

log = logging.getLogger(__name__)

DEFAULT_SECONDS = 10.0
LONGEST_SECONDS = 30.0
# The way back to the API server, and the answer's own making.
MARGIN_SECONDS = 0.25

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_TERM = re.compile(r"([0-9]{1,12}(?:\.[0-9]{0,12})?|\.[0-9]{1,12})(ns|us|µs|ms|s|m|h)")


def deadline_from(timeout: str | None) -> float:
    """Return the seconds that a review may take, given the URL's ``?timeout=``.

    The value is a Go duration (``5s``, ``2.5s``, ``1m``, ``500ms``); absent or
    malformed, it stands for Kubernetes' default of 10 s, and more than the
    allowed 30 s for 30 s. The API server rounds what is left *up* to a second, so
    a second is taken off, and a margin. Of one second or less, half is planned:
    nobody can tell how much of it is left.
    """
    seconds = _seconds(timeout or "")
    seconds = min(seconds, LONGEST_SECONDS) if seconds > 0 else DEFAULT_SECONDS
    return max(seconds - 1.0 - MARGIN_SECONDS, min(seconds, 1.0) / 2)


def _seconds(duration: str) -> float:
    terms = list(_TERM.finditer(duration))
    if not terms or "".join(term[0] for term in terms) != duration:
        return 0.0
    return sum(float(term[1]) * _UNITS[term[2]] for term in terms)


def create_app(service: Service, metrics: Metrics, *, max_body: int = 8 * 1024 * 1024) -> Flask:
    """Return the application that answers reviews through ``service``.

    ``max_body`` is in bytes and holds for chunked bodies too.
    """
    app = Flask("pullproof", static_folder=None)
    # One more than allowed: werkzeug cuts a chunked body at its limit and says nothing of it.
    app.config["MAX_CONTENT_LENGTH"] = max_body + 1
    # A redirect would be a failed call all the same, only harder to see.
    app.url_map.merge_slashes = False

    @app.post("/validate", provide_automatic_options=False)
    def validate() -> Response:
        arrived = _arrived()
        if request.mimetype != "application/json":
            return _refuse(metrics, 415, "the content type has to be application/json")
        deadline = Deadline(arrived + deadline_from(request.args.get("timeout")))
        with metrics.in_flight.track_inprogress():
            return _review(service, metrics, _body(max_body), deadline, arrived)

    @app.errorhandler(Exception)
    def fail(error: Exception) -> Response:
        return _refuse(metrics, 503, "the review failed", f" ({fault(error)})")

    @app.errorhandler(HTTPException)
    def refuse(error: HTTPException) -> Response:
        response = _refuse(metrics, error.code or 500, _WORDS.get(error.code, error.name))
        if error.code == 405:  # noqa: PLR2004  # the status itself
            response.headers["Allow"] = "POST"
        return response

    return app


_WORDS: dict[int | None, str] = {
    400: "the request could not be read",
    404: "there is only POST /validate here",
    405: "only POST is answered here",
    408: "the body did not come in time",
    413: "the body is larger than any review",
}


def _arrived() -> float:
    # Set by the worker when the request was there to be read: time in its queue counts too.
    moment = getattr(request.environ.get("gunicorn.socket"), "ready_at", None)
    return moment if isinstance(moment, float) else time.monotonic()


def _review(
    service: Service, metrics: Metrics, body: bytes, deadline: Deadline, arrived: float
) -> Response:
    try:
        answer = service.review(body, deadline)
    except MalformedReview as error:
        return _refuse(metrics, 400, one_line(str(error), 300))
    metrics.answered(answer, time.monotonic() - arrived)
    return Response(answer.body, mimetype="application/json")


def _body(most: int) -> bytes:
    """Return the whole body; raises an HTTPException when it does not come, or is too large."""
    try:
        body = request.get_data(cache=False)
    except ClientDisconnected:
        # werkzeug's word for a peer that has gone, and for our own end of patience with it.
        raise RequestTimeout from None
    except (OSError, ParseException):
        raise BadRequest from None
    if len(body) > most:
        raise RequestEntityTooLarge
    if request.content_length is not None and len(body) < request.content_length:
        raise BadRequest
    return body


def _refuse(metrics: Metrics, status: int, words: str, detail: str = "") -> Response:
    metrics.rejected(status)
    level = logging.ERROR if status >= 500 else logging.WARNING  # noqa: PLR2004
    log.log(level, "refused a request from %s: %d %s%s", request.remote_addr, status, words, detail)
    return Response(f"{words}\n", status, mimetype="text/plain")
