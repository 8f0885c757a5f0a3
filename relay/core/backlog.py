"""The one queue between media and a slow CDN, bounded in media time."""

from collections import deque

from relay.core import flv
from relay.core.flv import Tag


class Backlog:
    """Tags in order, at most `limit` seconds of video.

    Beyond that, video is dropped up to the next key frame (one in the queue, or the next one pushed) and sound stays;
    sound is dropped, oldest first, only beyond `audio_limit`. Sequence headers and metadata stay, but of one kind with
    no frame between them only the last. Nothing but a key frame opens video, at the start as after a drop.
    """

    __slots__ = (
        "_audio",
        "_audio_limit",
        "_limit",
        "_max_bytes",
        "_open",
        "_tags",
        "_video",
        "dropped_audio",
        "dropped_video",
        "size",
    )

    def __init__(self, *, limit: float = 2.0, audio_limit: float = 10.0, max_bytes: int = 16 * 1024 * 1024) -> None:
        """Limits: seconds of media time. `max_bytes`: of bodies, for video whose rate knows no measure."""
        self._limit = round(limit * 1000)
        self._audio_limit = round(audio_limit * 1000)
        self._max_bytes = max_bytes
        self._tags: deque[Tag] = deque()
        # The frames among the tags, without the headers.
        self._video: deque[Tag] = deque()
        self._audio: deque[Tag] = deque()
        self._open = False
        self.size = 0
        """Bytes of bodies waiting."""
        self.dropped_video = 0
        self.dropped_audio = 0

    def __len__(self) -> int:
        return len(self._tags)

    @property
    def key_frame_wanted(self) -> bool:
        """Video goes nowhere until a key frame comes: ask the publisher for one."""
        return not self._open

    @property
    def span(self) -> float:
        """Seconds of media time between the oldest and the newest tag."""
        return (self._tags[-1].timestamp - self._tags[0].timestamp) / 1000 if self._tags else 0.0

    def push(self, tag: Tag) -> None:
        """Timestamps: ms, not wrapped."""
        if tag.is_header:
            self._supersede(tag)
        elif tag.type == flv.AUDIO:
            self._audio.append(tag)
        elif self._open or tag.is_key:
            self._open = True
            self._video.append(tag)
        else:
            self.dropped_video += 1
            return
        self._tags.append(tag)
        self.size += len(tag.body)
        if self._video and (tag.timestamp - self._video[0].timestamp > self._limit or self.size > self._max_bytes):
            self._drop_video(tag.timestamp)
        while self._audio and tag.timestamp - self._audio[0].timestamp > self._audio_limit:
            self._discard([self._audio.popleft()])
            self.dropped_audio += 1

    def pop(self, max_bytes: int) -> list[Tag]:
        """Takes the oldest tags until `max_bytes` of bodies are reached: at least one, if there is any."""
        taken: list[Tag] = []
        while self._tags and max_bytes > 0:
            tag = self._tags.popleft()
            max_bytes -= len(tag.body)
            self.size -= len(tag.body)
            frames = self._audio if tag.type == flv.AUDIO else self._video
            if frames and frames[0] is tag:
                frames.popleft()
            taken.append(tag)
        return taken

    def pop_all(self) -> list[Tag]:
        taken = list(self._tags)
        for tags in (self._tags, self._video, self._audio):
            tags.clear()
        self.size = 0
        return taken

    def clear(self) -> None:
        """For a new connection: empty, not counted as dropped, and waiting for a key frame."""
        self.pop_all()
        self._open = False

    def _drop_video(self, now: int) -> None:
        """Drops up to the first later key frame from which on the bounds are kept."""
        dropped = [self._video.popleft()]
        size = self.size - len(dropped[0].body)
        while self._video:
            oldest = self._video[0]
            if oldest.is_key and now - oldest.timestamp <= self._limit and size <= self._max_bytes:
                break
            dropped.append(self._video.popleft())
            size -= len(oldest.body)
        self._open = bool(self._video)
        self.dropped_video += len(dropped)
        self._discard(dropped)

    def _discard(self, frames: list[Tag]) -> None:
        gone = {id(tag) for tag in frames}
        tags, self._tags = self._tags, deque()
        for tag in tags:
            if id(tag) in gone:
                self.size -= len(tag.body)
                continue
            if tag.is_header:
                self._supersede(tag)
            self._tags.append(tag)

    def _supersede(self, header: Tag) -> None:
        """Takes out the last header of this kind if no frame that needs it follows: it would serve nothing."""
        for index in range(len(self._tags) - 1, -1, -1):
            tag = self._tags[index]
            if tag.is_header and tag.type == header.type:
                self.size -= len(tag.body)
                del self._tags[index]
                return
            if not tag.is_header and header.type in (tag.type, flv.DATA):
                return
