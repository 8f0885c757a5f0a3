"""Why a publisher is turned away: the errors that travel from the publishing session up to the WHIP gateway.

`status` is the HTTP status that RFC 9725 gives the case, `detail` a sentence for the person who publishes: what is
wrong and what to do about it. It never quotes a secret.
"""


class PublishError(Exception):
    """Base of all: carries its HTTP status and its sentence."""

    status = 500

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class OfferMalformed(PublishError):
    """The SDP (RFC 8866), or the SDP fragment (RFC 8840), cannot be read."""

    status = 400


class OfferRefused(PublishError):
    """A well-formed offer that this relay cannot take: no H.264, two cameras, no BUNDLE."""

    status = 406


class UnknownSession(PublishError):
    """No publishing session of this id; it may have ended."""

    status = 404


class StaleSession(PublishError):
    """The entity tag names another ICE session than the one that runs (RFC 9725 section 4.3.1)."""

    status = 412


class RestartRefused(PublishError):
    """An ICE restart is asked for; a session here is published anew instead (RFC 9725 section 4.3.3)."""

    status = 422


class PublishElsewhere(PublishError):
    """This relay takes its streams from an SFU."""

    status = 403


class NotTakingWork(PublishError):
    """Draining, full, or no UDP port is free: try again later, or elsewhere."""

    status = 503
