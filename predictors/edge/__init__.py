"""What callers reach: REST and gRPC, from bytes to checked rows and from answers to bytes.

app, v1, v2    the hot routes over HTTP; `call` is one request, `body` what it is sent with
grpc, tensors  ModelInfer on the bytes of its messages
contents       raw contents of tensors, for V2 over both
answers        what a kind of model answered, as V1 and V2 have it
errors, ids    the one table of what callers are told of an error; the id of a request
connection     a caller's connection, bounded; `direct` answers whole requests on it without ASGI
behind         what is left to KServe's application
kserve, model  KServe's server, its patches, and the model as its routes see it
server         both ports from ready to stopped
openapi, page  what the page of the API says, and the page; `examples` are its values to try
"""
