"""GStreamer 1.22 as a peer: webrtcbin, voaacenc and rtmp2sink, one pipeline a stream, all in one process.

Run by Debian's own Python, which has GStreamer's bindings; of this package it needs the standard library's part only.
"""

import os
import signal
import threading
from typing import Any

import gi  # type: ignore[import-not-found]  # Debian's

from relay.cli.bench.peers import face

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # type: ignore[import-not-found]  # noqa: E402

_VIDEO = "queue ! rtph264depay ! h264parse ! capsfilter caps=video/x-h264,stream-format=avc,alignment=au"
_AUDIO = (
    "queue ! rtpopusdepay ! opusdec ! audioconvert ! audioresample ! "
    "audio/x-raw,rate=44100,channels=2 ! voaacenc bitrate=128000 ! aacparse"
)
_ANSWER_TIME = 10.0


class _Stream:
    """One WHIP session and its push."""

    def __init__(self, push_url: str) -> None:
        self.pipeline = Gst.parse_launch(
            f"webrtcbin name=peer bundle-policy=max-bundle "
            f'flvmux name=mux streamable=true ! rtmp2sink location="{push_url}"'
        )
        self._peer = self.pipeline.get_by_name("peer")
        self._peer.connect("pad-added", self._pad_added)
        self._gathered = threading.Event()
        self._peer.connect("notify::ice-gathering-state", self._gathering)

    def answer(self, offer: str) -> str:
        self.pipeline.set_state(Gst.State.PLAYING)
        self._do("set-remote-description", GstWebRTC.WebRTCSDPType.OFFER, offer)
        promise = Gst.Promise.new()
        self._peer.emit("create-answer", None, promise)
        promise.wait()
        reply = promise.get_reply()
        self._do("set-local-description", GstWebRTC.WebRTCSDPType.ANSWER, reply.get_value("answer").sdp.as_text())
        if not self._gathered.wait(_ANSWER_TIME):
            raise RuntimeError("no candidates")
        text: str = self._peer.get_property("local-description").sdp.as_text()
        return text

    def _do(self, verb: str, kind: Any, sdp: str) -> None:
        _, message = GstSdp.SDPMessage.new_from_text(sdp)
        promise = Gst.Promise.new()
        self._peer.emit(verb, GstWebRTC.WebRTCSessionDescription.new(kind, message), promise)
        promise.wait()

    def _gathering(self, peer: Any, _: Any) -> None:
        if peer.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            self._gathered.set()

    def _pad_added(self, peer: Any, pad: Any) -> None:
        media = pad.get_current_caps().get_structure(0).get_string("media")
        branch = Gst.parse_bin_from_description(_VIDEO if media == "video" else _AUDIO, True)
        self.pipeline.add(branch)
        mux = self.pipeline.get_by_name("mux")
        branch.get_static_pad("src").link(mux.request_pad_simple(media))
        branch.sync_state_with_parent()
        pad.link(branch.get_static_pad("sink"))


class _Streams:
    def __init__(self) -> None:
        self._streams: list[_Stream] = []
        self._template = os.environ["BENCH_PUSH_URL"]

    def answer(self, name: str, offer: str) -> str:
        stream = _Stream(self._template.format(name=name))
        self._streams.append(stream)
        return stream.answer(offer)

    def close(self) -> None:
        for stream in self._streams:
            stream.pipeline.set_state(Gst.State.NULL)


def main() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    Gst.init(None)
    loop = GLib.MainLoop()
    threading.Thread(target=loop.run, daemon=True).start()
    streams = _Streams()
    face.serve(streams.answer, streams.close)
    loop.quit()


if __name__ == "__main__":
    main()
