"""Run by the system's python3, which has GStreamer's bindings: a WHEP server whose streams come out of webrtcbin.

Arguments: port (0: a free one), `answer` or `offer` (406 and a counter-offer), a file for the coded video of each
session (`%d`: its number), and two pipelines: video that ends in H.264, sound that ends in Opus. Each session runs both
for itself. Words on its standard input, a line each, change what it does from then on: `absent` (404), `409`,
`present`, `silent` (sessions stay and send nothing), `heard`. The end of the input ends it. The first line that it
prints is its port; then a line for each request.
"""

import http.server
import re
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstWebRTC", "1.0")
gi.require_version("GstSdp", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402  versions are chosen before

WAIT = 10
SETTLE = 300
"""Milliseconds from the connection to its first packet: what it is made of lets go of its pads one by one."""


class Session:
    """One player: a pipeline of its own, and the SDP that is said to it."""

    def __init__(self, number, offer, silent):
        self.described = threading.Event()
        self.failure = None
        video_type, audio_type = (96, 111) if offer is None else (h264_of(offer), opus_of(offer))
        video = f"{VIDEO} ! tee name=coded ! queue ! rtph264pay pt={video_type} config-interval=-1 "
        video += "aggregate-mode=zero-latency ! application/x-rtp,media=video,encoding-name=H264,"
        video += f"payload={video_type} ! valve name=video drop-mode=forward-sticky-events ! peer."
        dump = f"coded. ! queue ! filesink location={DUMP % number} buffer-mode=unbuffered async=false sync=false"
        audio = f"{AUDIO} ! rtpopuspay pt={audio_type} ! application/x-rtp,media=audio,encoding-name=OPUS,"
        audio += f"payload={audio_type} ! valve name=audio drop-mode=forward-sticky-events ! peer."
        self.pipeline = Gst.parse_launch(f"webrtcbin name=peer bundle-policy=max-bundle {video} {dump} {audio}")
        self.peer = self.pipeline.get_by_name("peer")
        self.peer.connect("notify::ice-gathering-state", self.gathered)
        self.peer.connect("notify::connection-state", self.connected)
        self.silent = silent
        self.pass_on()
        for index in range(2):
            transceiver = self.peer.emit("get-transceiver", index)
            transceiver.set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)
            transceiver.set_property("do-nack", True)
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", lambda _, message: self.fail(str(message.parse_error()[0])))
        self.pipeline.set_state(Gst.State.PLAYING)
        if offer is None:
            self.peer.emit("create-offer", None, Gst.Promise.new_with_change_func(self.made, "offer"))
        else:
            promise = Gst.Promise.new_with_change_func(self.offered)
            self.peer.emit("set-remote-description", description("OFFER", offer), promise)

    def fail(self, reason):
        self.failure = reason
        self.described.set()

    def offered(self, promise):
        promise.wait()
        self.peer.emit("create-answer", None, Gst.Promise.new_with_change_func(self.made, "answer"))

    def made(self, promise, kind):
        promise.wait()
        reply = promise.get_reply()  # it owns the description
        if reply is None or reply.get_value(kind) is None:
            self.fail("no " + kind)
            return
        self.peer.emit("set-local-description", reply.get_value(kind), None)

    def gathered(self, peer, _):
        if peer.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            GLib.idle_add(self.described.set)

    def connected(self, peer, _):
        GLib.timeout_add(SETTLE, self.pass_on)

    def silence(self, silent):
        self.silent = silent
        self.pass_on()

    def pass_on(self):
        """Live media: nothing of it waits for the connection, video longer than sound."""
        connected = self.peer.get_property("connection-state") == GstWebRTC.WebRTCPeerConnectionState.CONNECTED
        for name in ("video", "audio"):
            self.pipeline.get_by_name(name).set_property("drop", self.silent or not connected)

    @property
    def sdp(self):
        return self.peer.get_property("local-description").sdp.as_text()

    def accept(self, answer):
        self.peer.emit("set-remote-description", description("ANSWER", answer), None)

    def close(self):
        self.pipeline.set_state(Gst.State.NULL)


def description(kind, text):
    _, message = GstSdp.SDPMessage.new_from_text(text)
    return GstWebRTC.WebRTCSessionDescription.new(getattr(GstWebRTC.WebRTCSDPType, kind), message)


def h264_of(offer):
    """The payload type of constrained baseline, or of any H.264."""
    types = re.findall(r"a=rtpmap:(\d+) H264/90000", offer)
    return next((n for n in types if re.search(rf"a=fmtp:{n} .*packetization-mode=1.*42e01f", offer)), types[0])


def opus_of(offer):
    return re.search(r"a=rtpmap:(\d+) opus/48000/2", offer)[1]


class Server:
    def __init__(self, offers):
        self.loop = GLib.MainLoop()
        self.offers = offers
        self.state = "present"
        self.silent = False
        self.sessions = {}
        self.made = 0
        GLib.io_add_watch(sys.stdin, GLib.IO_HUP | GLib.IO_IN, self.told)

    def told(self, source, condition):
        word = source.readline().strip()
        if not word:
            self.loop.quit()
        elif word in ("silent", "heard"):
            self.silent = word == "silent"
            for session in self.sessions.values():
                session.silence(self.silent)
        else:
            self.state = word
        return True

    def here(self, function, *arguments):
        """What `function` gives on GLib's thread."""
        done, result = threading.Event(), []

        def run():
            try:
                result.append(function(*arguments))
            finally:
                done.set()
            return False

        GLib.idle_add(run)
        done.wait(WAIT)
        return result[0]

    def subscribe(self, offer):
        """Status, headers, body."""
        if self.state == "absent":
            return 404, {}, "nobody publishes this stream"
        if self.state == "409":
            return 409, {"Retry-After": "1"}, "nobody publishes this stream"
        self.made += 1
        number = str(self.made)
        session = self.here(Session, self.made, None if self.offers else offer, self.silent)
        self.sessions[number] = session
        if not session.described.wait(WAIT) or session.failure:
            return 500, {}, session.failure or "gathering took too long"
        headers = {"Content-Type": "application/sdp", "Location": "/sessions/" + number, "ETag": f'"{number}"'}
        return 406 if self.offers else 201, headers, session.sdp

    def patch(self, number, kind, body):
        if number not in self.sessions:
            return 404, {}, ""
        if kind != "application/sdp":
            return 405, {}, "candidates come in the offer"
        self.here(self.sessions[number].accept, body)
        return 204, {}, ""

    def unsubscribe(self, number):
        session = self.sessions.pop(number, None)
        if session is not None:
            self.here(session.close)
        return 200 if session else 404, {}, ""

    def run(self, port):
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                name = self.path.rsplit("/", 1)[-1]
                if self.command == "POST":
                    status, headers, text = server.subscribe(body)
                elif self.command == "PATCH":
                    status, headers, text = server.patch(name, self.headers.get("Content-Type"), body)
                else:
                    status, headers, text = server.unsubscribe(name)
                self.send_response(status)
                for key, value in {**headers, "Content-Length": str(len(text.encode()))}.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(text.encode())
                say(self.command, self.path, status)

            do_POST = do_PATCH = do_DELETE = do  # noqa: N815  http.server's names

            def log_message(self, *arguments):
                """Silent."""

        face = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=face.serve_forever, daemon=True).start()
        say(face.server_port)
        self.loop.run()
        face.shutdown()
        for session in self.sessions.values():
            session.close()


def say(*words):
    sys.stdout.write(" ".join(str(word) for word in words) + "\n")
    sys.stdout.flush()


Gst.init(None)
PORT, MODE, DUMP, VIDEO, AUDIO = sys.argv[1:6]
Server(MODE == "offer").run(int(PORT))
