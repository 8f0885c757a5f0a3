"""What comes of an offer, a publisher's (WHIP) or a viewer's (WHEP): it is answered, or turned away by an error that
travels from the session up to the gateway.

An error's `status` is the HTTP status that RFC 9725 or draft-ietf-wish-whep gives the case, its `detail` a sentence for
the person who publishes or watches: what is wrong and what to do about it. It never quotes a secret.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answered:
    """One who is let in: the session's resource, the answer's SDP, and its ICE session's bare entity tag (RFC 9725,
    4.3.1)."""

    session_id: str
    answer: str
    etag: str


class SessionError(Exception):
    """Base of all: carries its HTTP status and its sentence."""

    status = 500

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class OfferMalformed(SessionError):
    """The SDP (RFC 8866), or the SDP fragment (RFC 8840), cannot be read."""

    status = 400


class OfferRefused(SessionError):
    """A well-formed offer that this relay cannot take: no H.264, two cameras, no BUNDLE."""

    status = 406


class NotPublished(SessionError):
    """Nobody publishes the stream that is to be watched; somebody may, so: try again later."""

    status = 409


class UnknownSession(SessionError):
    """No session of this id; it may have ended."""

    status = 404


class StaleSession(SessionError):
    """The entity tag names another ICE session than the one that runs (RFC 9725 section 4.3.1)."""

    status = 412


class RestartRefused(SessionError):
    """An ICE restart is asked for; a session here is made anew instead (RFC 9725 section 4.3.3)."""

    status = 422


class PublishElsewhere(SessionError):
    """This relay takes its streams from an SFU."""

    status = 403


class NotTakingWork(SessionError):
    """Draining, full, or no UDP port is free: try again later, or elsewhere."""

    status = 503
