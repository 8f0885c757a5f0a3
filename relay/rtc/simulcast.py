"""Simulcast (RFC 8853): of the layers that a publisher offers, the one to take."""

from relay.rtc.sdp import Section

_FULL = (("f", "full"), ("h", "hi", "high", "hd"))
"""Names that mean the largest layer, by family: q/h/f (where h is half), then l/m/h."""
_MOST = 16
"""Layers looked at; browsers offer three."""


def highest_rid(section: Section) -> str | None:
    """The rid of the largest layer; None where the section offers no rids.

    Exactly one is taken: two would mix two pictures in one track. SDP does not rank layers by size, so: the largest
    restriction (max-width and max-height, else max-br; RFC 8851 section 5) where all state one, then the usual names,
    then the last, as browsers scale down the first ones where nothing else is said.
    """
    rids = _sent(section)
    if not rids:
        return None
    for measure in (_pixels, _bit_rate):
        sizes = [measure(_restrictions(section, rid)) for rid in rids]
        if len(set(sizes)) > 1 and min(sizes) > 0:
            return rids[sizes.index(max(sizes))]
    for family in _FULL:
        for rid in rids:
            if rid.lower() in family:
                return rid
    return rids[-1]


def _sent(section: Section) -> list[str]:
    """In order of a=simulcast; of alternatives (`a,b`) the first; `~` marks a layer that starts paused."""
    declared = [rid for value in section.attributes.get("rid", ())[:_MOST] if (rid := _split(value)[0])]
    words = (section.first("simulcast") or "").split()
    if "send" in words[:-1]:
        listed = words[words.index("send") + 1].split(";")[:_MOST]
        first = [alternatives.split(",")[0].removeprefix("~") for alternatives in listed]
        return [rid for rid in first if rid in declared] or declared
    return declared


def _split(value: str) -> tuple[str, str, str]:
    """`h send max-width=1280;max-height=720` in three; an empty name where it is not a rid that is sent."""
    words = value.split(maxsplit=2)
    if len(words) < 2 or words[1] != "send":
        return "", "", ""
    return words[0], words[1], words[2] if len(words) == 3 else ""


def _restrictions(section: Section, rid: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for value in section.attributes.get("rid", ()):
        name, _, restrictions = _split(value)
        if name == rid:
            for item in restrictions.split(";"):
                key, _, number = item.partition("=")
                if number.isascii() and number.isdigit() and len(number) < 10:
                    found[key.strip()] = int(number)
    return found


def _pixels(restrictions: dict[str, int]) -> int:
    return restrictions.get("max-width", 0) * restrictions.get("max-height", 0)


def _bit_rate(restrictions: dict[str, int]) -> int:
    return restrictions.get("max-br", 0)
