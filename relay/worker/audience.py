"""The viewers of one stream (WHEP): who they are, and what each is sent.

Pictures are packed once for all of them. A viewer outlives the stream's publishers: its own goodbye or silence, DELETE
and the worker's end are what ends it, and `_left` is where it is let go. One viewer's failure is nobody else's.
"""

import secrets
from collections.abc import Callable

import structlog

from relay.core.h264 import NalType, nal_type
from relay.core.media import AccessUnit, Frame, OpusPacket
from relay.core.offer import Answered, NotTakingWork, StaleSession, UnknownSession
from relay.core.rtp.h264_payload import packetize
from relay.core.rtp.restamp import Restamp
from relay.core.rtp.sender import MAX_PAYLOAD
from relay.core.stream import Stream
from relay.rtc.settings import RtcSettings
from relay.rtc.viewer import Packed, ViewerSession
from relay.rtc.viewer_answer import Pictures

log = structlog.get_logger(__name__)

ENDS = "This relay is shutting down: try another, or again later."

_HEAD_STEP = 0.001
"""Seconds from picture to picture of the head: a new viewer is to show the newest at once, not what it missed."""


class Audience:
    """`retire` takes a session that is closing, until nothing is left of it."""

    def __init__(self, stream: Stream, settings: RtcSettings, retire: Callable[[ViewerSession], None]) -> None:
        self._stream = stream
        self._settings = settings
        self._retire = retire
        self._log = log.bind(**stream.key.names())
        self._sessions: dict[str, ViewerSession] = {}
        self._live: dict[str, ViewerSession] = {}
        """Those that are connected, and have been sent the head."""
        self._answering = 0
        self._ended = False
        self._video = Restamp(90_000, 3_000)
        self._audio = Restamp(48_000, 960)
        self._pictures = Pictures()
        self._frames: list[Frame] = []
        """Since the last tick."""
        stream.sinks.append(self._on_frame)

    @property
    def count(self) -> int:
        """Those being answered included."""
        return len(self._sessions) + self._answering

    async def add(self, offer: str) -> Answered:
        """Answers a WHEP offer. Raises `SessionError`."""
        session_id = secrets.token_urlsafe(16)
        self._answering += 1
        try:
            session, answer = await ViewerSession.answer(offer, self._pictures, settings=self._settings)
        finally:
            self._answering -= 1
        if self._ended:
            session.close(ENDS)
            self._retire(session)
            raise NotTakingWork(ENDS)
        self._sessions[session_id] = session
        session.on_closed = lambda reason: self._left(session_id, reason)
        session.on_key_frame_wanted = self._stream.request_key_frame
        self._log.info("viewer joined", viewers=len(self._sessions))
        return Answered(session_id, answer, session.etag)

    async def trickle(self, session_id: str, fragment: str, etag: str | None) -> None:
        """Takes candidates from an SDP fragment. Raises `SessionError`."""
        session = self._sessions.get(session_id)
        if session is None:
            raise UnknownSession("There is no such viewer's session; it may have ended.")
        if etag not in (None, session.etag):
            raise StaleSession("If-Match names another ICE session than the one that runs.")
        await session.trickle(fragment)

    def remove(self, session_id: str, reason: str) -> bool:
        """False: there is no such session."""
        session = self._sessions.get(session_id)
        if session is None:
            return False
        session.close(reason)
        return True

    def end(self, reason: str) -> None:
        """Sends all away, and lets nobody in any more."""
        self._ended = True
        self.close(reason)

    def close(self, reason: str) -> None:
        for session in tuple(self._sessions.values()):
            session.close(reason)

    def _left(self, session_id: str, reason: str) -> None:
        self._live.pop(session_id, None)
        session = self._sessions.pop(session_id, None)
        if session is not None:
            self._log.info("viewer left", reason=reason, viewers=len(self._sessions))
            self._retire(session)

    def publisher_left(self) -> None:
        """What comes next is of another publisher: it goes on where this one's timestamps end."""
        try:
            self._send_frames()
        except Exception:
            self._log.exception("a publisher's last frames were not sent")
        self._video.restart()
        self._audio.restart()
        self._pictures = Pictures()

    def tick(self, now: float) -> None:
        """Sends what the stream has delivered, then hears what is asked for. `now`: monotonic seconds."""
        self._send_frames()
        for session_id, session in tuple(self._sessions.items()):
            try:
                session.tick(now)
                if session.connected and session_id not in self._live:
                    self._live[session_id] = session
                    self._send_head(session)
            except Exception:
                self._failed(session)

    def _failed(self, session: ViewerSession) -> None:
        self._log.exception("a viewer failed")
        session.close("an internal error")

    def _on_frame(self, frame: Frame) -> None:
        if isinstance(frame, AccessUnit) and frame.key:
            self._note(frame)
        if self._live:
            self._frames.append(frame)

    def _send_frames(self) -> None:
        frames, self._frames = self._frames, []
        if not frames:
            return
        packed = [self._pack(frame) for frame in frames if isinstance(frame, OpusPacket) or frame.codec == "h264"]
        for session in tuple(self._live.values()):
            try:
                session.send(packed)
            except Exception:
                self._failed(session)

    def _note(self, unit: AccessUnit) -> None:
        """What a key picture says of those that follow."""
        if unit.codec != "h264":
            self._pictures = Pictures(unit.codec)
            return
        sps = next((nal for nal in unit.parts if nal_type(nal) == NalType.SPS and len(nal) > 1), None)
        if sps is not None:
            self._pictures = Pictures("h264", sps[1])

    def _pack(self, frame: Frame) -> Packed:
        if isinstance(frame, OpusPacket):
            stamp = self._audio.stamp(frame.rtp_time, frame.time)
            return Packed("audio", [frame.data], stamp, frame.time, key=False)
        return self._picture(frame, *self._stamp(frame))

    def _stamp(self, unit: AccessUnit) -> tuple[int, float]:
        """Where a picture is shown: in RTP time, and in seconds on the stream's timeline."""
        at = unit.time + unit.composition
        return self._video.stamp(unit.rtp_time, at), at

    def _picture(self, unit: AccessUnit, stamp: int, at: float) -> Packed:
        return Packed("video", packetize(unit.parts, MAX_PAYLOAD), stamp, at, key=unit.key)

    def _send_head(self, session: ViewerSession) -> None:
        """What the stream's head holds, in quick motion, so that the viewer is live at once; else a key frame's due."""
        if not session.watches:
            return
        head = [unit for unit in self._stream.head.pictures if unit.codec == "h264"]
        if not head:
            self._stream.request_key_frame()
            return
        # The last is the last that the others were sent: its stamp stays as it is, and the rest steps back from there.
        stamp, at = self._stamp(head[-1])
        session.send(
            [
                self._picture(unit, stamp - round(count * _HEAD_STEP * 90_000), at - count * _HEAD_STEP)
                for count, unit in zip(range(len(head) - 1, -1, -1), head, strict=True)
            ]
        )
