"""Reads request bodies: JSON, plain or gzip, never more than the limit, however it is sent."""

import zlib

from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect

from producers.gateway.limits import Held, Limits
from schemas.errors import Invalid

_GZIP = 31  # zlib's window bits for a gzip stream


async def read_body(request: Request, limits: Limits, held: Held) -> bytes:
    """The body, unpacked. What it takes is held from the first chunk on.

    Raises:
        HTTPException: 413 over the limit, 415 for a type or coding that is not ours, 400 cut off.
        Invalid: it is not the gzip stream that it claims to be.
        Temporary: the gateway holds all it may.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise HTTPException(415, "Send Content-Type: application/json.")
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("identity", "gzip"):
        raise HTTPException(415, "Send the body as it is, or with Content-Encoding: gzip.")
    if int(request.headers.get("content-length", 0)) > limits.body:
        raise _too_large(limits)
    unpacker = zlib.decompressobj(_GZIP) if coding == "gzip" else None
    body = bytearray()
    try:
        async for chunk in request.stream():
            part = chunk
            if unpacker is not None:
                part = _unpack(unpacker, chunk, limits.body + 1 - len(body))
            if len(body) + len(part) > limits.body:
                raise _too_large(limits)
            held.take(len(part))
            body += part
    except ClientDisconnect:
        raise HTTPException(400, "The request was cut off.") from None
    if unpacker is not None and not unpacker.eof:
        raise Invalid("bad_gzip", "the gzip stream ends too early")
    return bytes(body)


def _unpack(unpacker: "zlib._Decompress", chunk: bytes, room: int) -> bytes:
    """At most `room` bytes: a small chunk may unpack to gigabytes."""
    try:
        part = unpacker.decompress(chunk, room)
    except zlib.error as error:
        raise Invalid("bad_gzip", f"the body is not gzip: {error}") from None
    if unpacker.unused_data:
        raise Invalid("bad_gzip", "bytes follow the gzip stream")
    return part


def _too_large(limits: Limits) -> HTTPException:
    return HTTPException(
        413, f"A body may have {limits.body} bytes, unpacked. Send several smaller batches."
    )
