"""The least that Python needs to answer V2 by gRPC: a handler of grpc.aio that parses, scores and answers.

It checks nothing, logs nothing and counts nothing. bare_grpc.py PORT
"""

import asyncio
import sys

import grpc
import session
from grpc import aio
from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages

MODEL = session.Model()
FIELDS = {"FP64": "fp64_contents", "BOOL": "bool_contents", "BYTES": "bytes_contents"}


async def infer(request, context):
    """Answer one call."""
    columns = {item.name: item.contents.fp64_contents for item in request.inputs}
    scores = MODEL.of_rows([{name: values[0] for name, values in columns.items()}])
    answer = messages.ModelInferResponse(model_name=session.NAME, model_version=session.VERSION, id=request.id)
    for name, datatype, data in session.outputs(scores):
        item = answer.outputs.add(name=name, datatype=datatype, shape=[len(data)])
        values = [text.encode() for text in data] if datatype == "BYTES" else data
        getattr(item.contents, FIELDS[datatype]).extend(values)
    return answer


async def serve(port):
    """Serve until the end of the process."""
    server = aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        infer, messages.ModelInferRequest.FromString, messages.ModelInferResponse.SerializeToString
    )
    service = grpc.method_handlers_generic_handler("inference.GRPCInferenceService", {"ModelInfer": handler})
    server.add_generic_rpc_handlers((service,))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
