"""Run by the system's python3, which has GStreamer's bindings: a WHIP publisher out of webrtcbin.

Arguments: the URL, and two pipelines that end in RTP (video and sound; the second may be empty). It publishes until its
standard input ends; a refusal or an error ends it with its text and status 1.
"""

import sys
import urllib.error
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstWebRTC", "1.0")
gi.require_version("GstSdp", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402  versions are chosen before


class Publisher:
    def __init__(self, url, video, audio):
        self.url = url
        self.loop = GLib.MainLoop()
        self.failure = None
        text = f"webrtcbin name=peer bundle-policy=max-bundle {video} ! peer."
        self.pipeline = Gst.parse_launch(text + (f" {audio} ! peer." if audio else ""))
        self.peer = self.pipeline.get_by_name("peer")
        self.peer.connect("on-negotiation-needed", self.negotiate)
        self.peer.connect("notify::ice-gathering-state", self.gathered)
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", lambda _, message: self.fail(str(message.parse_error()[0])))
        GLib.io_add_watch(sys.stdin, GLib.IO_HUP | GLib.IO_IN, self.told)

    def told(self, source, condition):
        if not source.readline():
            self.loop.quit()
        return True

    def fail(self, reason):
        self.failure = reason
        self.loop.quit()

    def negotiate(self, peer):
        for index in range(2):
            transceiver = peer.emit("get-transceiver", index)
            if transceiver is not None:
                transceiver.set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)
                transceiver.set_property("do-nack", True)
        peer.emit("create-offer", None, Gst.Promise.new_with_change_func(self.offered))

    def offered(self, promise):
        promise.wait()
        reply = promise.get_reply()  # it owns the offer
        self.peer.emit("set-local-description", reply.get_value("offer"), None)

    def gathered(self, peer, _):
        if peer.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            GLib.idle_add(self.post)

    def post(self):
        sdp = self.peer.get_property("local-description").sdp.as_text()
        request = urllib.request.Request(self.url, sdp.encode(), {"Content-Type": "application/sdp"})  # noqa: S310  a test's own URL
        try:
            with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310  a test's own URL
                text = response.read().decode()
        except urllib.error.HTTPError as error:
            self.fail(f"{error.code}: {error.read().decode()}")
            return False
        _, message = GstSdp.SDPMessage.new_from_text(text)
        answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
        self.peer.emit("set-remote-description", answer, None)
        return False

    def run(self):
        self.pipeline.set_state(Gst.State.PLAYING)
        self.loop.run()
        self.pipeline.set_state(Gst.State.NULL)
        return self.failure


Gst.init(None)
sys.exit(Publisher(*sys.argv[1:4]).run())
