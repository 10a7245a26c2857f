"""The least that Python needs to answer V1 and V2 over HTTP: an ASGI callable under uvicorn, with orjson.

It checks nothing, logs nothing and counts nothing. bare.py PORT
"""

import sys

import orjson
import session
import uvicorn

MODEL = session.Model()
V2 = f"/v2/models/{session.NAME}/infer"


async def app(scope, receive, send):
    """Answer one request, or the lifespan's messages."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    text = b""
    more = scope["method"] == "POST"
    while more:
        message = await receive()
        text += message.get("body", b"")
        more = message.get("more_body")
    body = orjson.dumps(_answer(scope["path"], orjson.loads(text)) if text else {"ready": True})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _answer(path, asked):
    if path != V2:
        return session.predictions(MODEL.of_rows(asked["instances"]))
    scores = MODEL.of_columns({item["name"]: item["data"] for item in asked["inputs"]})
    told = [
        {"name": name, "datatype": datatype, "shape": [len(data)], "data": data}
        for name, datatype, data in session.outputs(scores)
    ]
    return {"model_name": session.NAME, "model_version": session.VERSION, "outputs": told}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=False, log_level="warning")
