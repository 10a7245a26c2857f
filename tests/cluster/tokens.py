"""An issuer of tokens: its keys over HTTP, as istiod fetches them, and the tokens that it signs."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

_ADDRESS = ("10.200.0.4", 8000)
_KEY = "tests"


class Issuer:
    """Signs tokens; `keys` is where its public key is."""

    def __init__(self) -> None:
        self.keys = f"http://{_ADDRESS[0]}:{_ADDRESS[1]}/jwks.json"
        self._private = ec.generate_private_key(ec.SECP256R1())

    def public(self) -> bytes:
        """The key set, JSON."""
        key = jwt.algorithms.ECAlgorithm.to_jwk(self._private.public_key(), as_dict=True)
        return json.dumps({"keys": [{**key, "kid": _KEY, "use": "sig", "alg": "ES256"}]}).encode()

    def token(self, issuer: str, audience: str, seconds: float = 3600, **claims: object) -> str:
        """A token for `audience` that holds for some seconds from now on, with further claims."""
        told = {**claims, "iss": issuer, "aud": audience, "sub": "tests", "exp": int(time.time() + seconds)}
        return jwt.encode(told, self._private, algorithm="ES256", headers={"kid": _KEY})


@contextmanager
def issuer() -> Iterator[Issuer]:
    """An issuer whose keys can be had until the end of the block."""
    made = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = made.public()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: the tests' output is not the place."""

    with ThreadingHTTPServer(_ADDRESS, Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()
