"""AWS Lambda behind an HTTP API (API Gateway, payload format 2.0) or a function URL.

The function's handler is ``wanesync.serverless.aws_lambda.handler``. An instance answers one request at a time.
Events: docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html and
docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

from __future__ import annotations

from typing import Any, cast

import structlog
from mangum import Mangum

from wanesync.serverless.door import PUBLIC_PATHS, ServerlessApp, build_door

LambdaEvent = dict[str, Any]
LambdaAnswer = dict[str, Any]
"""JSON objects of AWS, whose members ``mangum`` reads and makes."""

logger = structlog.get_logger(__name__)
_app = ServerlessApp(build_door)
_adapter = Mangum(_app, lifespan="off")


def handler(event: LambdaEvent, context: object) -> LambdaAnswer:
    """Answer one request. An event that is no HTTP request is refused; an error of ours is a 503, which is repeated."""
    try:
        path = find_path(event)
    except (KeyError, TypeError, AttributeError):
        logger.warning("event refused", reason="it is no request of an HTTP API or a function URL")
        return _answer(400, "not a request of an HTTP API or a function URL in payload format 2.0")
    request_context = event["requestContext"]
    http = request_context["http"] | {"path": path}
    try:
        request = event | {"requestContext": request_context | {"http": http}}
        return _adapter(request, cast("Any", context))
    except Exception as error:  # noqa: BLE001 - the sender repeats it; a traceback might hold what it sent
        logger.error("webhook not stored", error=type(error).__name__)
        return _answer(503, "not stored: this service has a problem of its own, send it again")


def find_path(event: LambdaEvent) -> str:
    """Return the path of a request below the public address.

    An HTTP API puts its stage in front of the path, or the mapping of a custom domain; both are a part of the public
    address, which HubSpot signs. Raises ``KeyError`` if the event is no HTTP request.
    """
    path = str(event["requestContext"]["http"]["path"])
    return next((known for known in PUBLIC_PATHS if path.endswith(known)), path)


def _answer(status: int, reason: str) -> LambdaAnswer:
    headers = {"content-type": "application/json", "cache-control": "no-store"}
    return {"statusCode": status, "headers": headers, "body": f'{{"error":"{reason}"}}', "isBase64Encoded": False}


_app.prepare()  # at the start of the instance, which has the full processor for it; a failure is tried again
