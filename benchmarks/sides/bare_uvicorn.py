"""Minimal HTTP server: reads the body and returns constant JSON."""

from starlette.types import Receive, Scope, Send

BODY = b'{"classes":[{"label":"0","probability":0.5},{"label":"1","probability":0.3},{"label":"2","probability":0.2}]}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})
