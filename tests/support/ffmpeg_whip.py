"""FFmpeg as a publisher: the WHIP muxer of the FFmpeg that PyAV brings, in a process of its own.

The muxer blocks while it connects, and a process that is killed takes it along. It is given a certificate: linked with
GnuTLS, FFmpeg 8.1 makes itself one on the curve P-224, which OpenSSL 4 no longer takes in TLS.
"""

import asyncio
import contextlib
import datetime
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import av
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def write_certificate(folder: Path) -> dict[str, str]:
    """A self-signed certificate on P-256 (RFC 8827 6.5), as the muxer's options."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "publisher")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "certificate.pem", folder / "key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    return {"cert_file": str(cert_file), "key_file": str(key_file)}


def publish(url: str, clip: str, options: dict[str, str]) -> None:
    """Sends the clip's packets, each when it is due, to its end. `av.FFmpegError` where the relay refuses."""
    with av.open(clip) as source, av.open(url, "w", format="whip", options=options) as whip:
        streams = {stream.index: whip.add_stream_from_template(stream) for stream in source.streams}
        whip.start_encoding()
        print("connected", flush=True)  # noqa: T201  this is the process's word to its parent
        began = time.monotonic()
        for packet in source.demux():
            if packet.dts is not None:
                due = began + float(packet.dts * packet.time_base)
                time.sleep(max(0.0, due - time.monotonic()))
                packet.stream = streams[packet.stream.index]
                whip.mux(packet)


@contextlib.asynccontextmanager
async def ffmpeg(url: str, clip: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Publishes `clip`, H.264 without B-frames and Opus, for as long as it and the context last."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [url, str(clip), json.dumps(write_certificate(Path(folder)))]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", __name__, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        try:
            line = await asyncio.wait_for(process.stdout.readline(), 20)
            if line != b"connected\n":
                _, errors = await process.communicate()
                raise AssertionError(errors.decode())
            yield process
        finally:
            if process.returncode is None:
                process.terminate()
            await process.communicate()


if __name__ == "__main__":
    publish(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
