"""Which of the video codecs that an offer has is taken, and with what parameters it is answered."""

import re
from collections.abc import Collection

from relay.core.codecs import CODECS
from relay.core.offer import OfferRefused
from relay.rtc.sdp import Codec

_PROFILES = (0x42, 0x4D, 0x64)
"""profile_idc of (constrained) baseline, main and (constrained) high: what CDNs and players decode."""
_REPAIR = ("rtx", "red", "ulpfec", "flexfec-03")
_PARAMETERS = {
    "h264": ("level-asymmetry-allowed", "packetization-mode", "profile-level-id"),
    "h265": ("profile-space", "profile-id", "tier-flag", "level-id", "interop-constraints", "tx-mode"),
    "av1": ("profile", "level-idx", "tier"),
    "vp8": (),
    "vp9": ("profile-id",),
}
"""What the answer repeats of the offer: it is the sender that knows what it sends."""


def choose(codecs: list[Codec], enhanced: Collection[str]) -> Codec:
    """H.264 wherever it is offered; else the sender's first choice among `enhanced`, the codecs that this deployment
    passes on by Enhanced RTMP. `OfferRefused`."""
    video = [codec for codec in codecs if codec.clock_rate == 90000]
    usable = [codec for codec in video if codec.name == "h264" and _usable_h264(codec)]
    for mode in ("1", "0"):
        for codec in usable:
            if codec.parameters.get("packetization-mode", "0") == mode:
                return codec
    for codec in video:
        if codec.name in enhanced and (codec.name != "h265" or _usable_h265(codec)):
            return codec
    names = dict.fromkeys(codec.rtpmap.split("/")[0][:20] for codec in codecs if codec.name not in _REPAIR)
    taken = ", ".join(name.upper() for name in CODECS if name in enhanced)
    raise OfferRefused(
        f"The offer has no H.264 video that can be passed on (codecs offered: {', '.join(names) or 'none'}). RTMP "
        f"carries H.264 in baseline, main or high profile{f', and this relay takes {taken}' if taken else ''}. In a "
        "browser, put H264 first with RTCRtpTransceiver.setCodecPreferences; in Firefox, enable the OpenH264 plugin; "
        "or publish from a browser or encoder that has H.264."
    )


def _usable_h264(codec: Codec) -> bool:
    """RFC 6184 section 8.1; without a profile-level-id it is baseline."""
    profile = codec.parameters.get("profile-level-id", "42000a")
    return re.fullmatch(r"[0-9A-Fa-f]{6}", profile) is not None and int(profile[:2], 16) in _PROFILES


def _usable_h265(codec: Codec) -> bool:
    """RFC 7798 section 7.1: one stream on one session, in decoding order, so without DONL fields."""
    return codec.parameters.get("tx-mode", "SRST") == "SRST" and codec.parameters.get("sprop-max-don-diff", "0") == "0"


def answered_parameters(codec: Codec) -> list[str]:
    """fmtp of the answer, `name=value` each."""
    return [f"{name}={codec.parameters[name]}" for name in _PARAMETERS[codec.name] if name in codec.parameters]
