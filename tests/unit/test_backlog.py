from hypothesis import given
from hypothesis import strategies as st

from relay.core.backlog import Backlog
from relay.core.flv import AUDIO, DATA, VIDEO, Tag

META = Tag(DATA, 0, b"meta")
AVC = Tag(VIDEO, 0, b"\x17\0\0\0\0avcC")
AAC = Tag(AUDIO, 0, b"\xaf\0asc")


def key(timestamp: int) -> Tag:
    return Tag(VIDEO, timestamp, b"\x17\1\0\0\0key")


def inter(timestamp: int) -> Tag:
    return Tag(VIDEO, timestamp, b"\x27\1\0\0\0inter")


def sound(timestamp: int) -> Tag:
    return Tag(AUDIO, timestamp, b"\xaf\1sound")


def times(tags: list[Tag], kind: int) -> list[int]:
    return [tag.timestamp for tag in tags if tag.type == kind and not tag.is_header]


def fill(backlog: Backlog, until: int, gop: int, start: int = 0) -> None:
    for timestamp in range(start, until, 40):
        backlog.push(key(timestamp) if timestamp % gop == 0 else inter(timestamp))
        backlog.push(sound(timestamp))


def test_what_goes_in_comes_out_in_order():
    backlog = Backlog()
    tags = [META, AVC, AAC, key(0), sound(0), inter(40), sound(23)]
    for tag in tags:
        backlog.push(tag)
    assert backlog.pop(1) == tags[:1]
    assert backlog.pop(len(AVC.body) + 1) == tags[1:3]
    assert len(backlog) == 4
    assert backlog.pop_all() == tags[3:]
    assert backlog.size == len(backlog) == 0
    assert backlog.pop(1) == []


def test_video_opens_with_a_key_frame():
    backlog = Backlog()
    assert backlog.key_frame_wanted
    backlog.push(AVC)
    backlog.push(inter(0))
    backlog.push(key(40))
    assert not backlog.key_frame_wanted
    assert backlog.pop_all() == [AVC, key(40)]
    assert backlog.dropped_video == 1


def test_overflow_goes_on_at_the_next_key_frame_in_the_queue():
    backlog = Backlog()
    backlog.push(META)
    backlog.push(AVC)
    fill(backlog, 2080, gop=1000)
    assert not backlog.key_frame_wanted
    assert backlog.dropped_video == 25
    assert backlog.dropped_audio == 0
    left = backlog.pop_all()
    assert left[:2] == [META, AVC]
    assert times(left, VIDEO)[0] == 1000
    assert len(times(left, AUDIO)) == 52


def test_overflow_without_a_key_frame_closes_video():
    backlog = Backlog()
    fill(backlog, 4000, gop=100_000)
    assert backlog.key_frame_wanted
    backlog.push(key(4000))
    assert not backlog.key_frame_wanted
    left = backlog.pop_all()
    assert times(left, VIDEO) == [4000]
    assert backlog.dropped_video == 100
    assert len(times(left, AUDIO)) == 100


def test_a_key_frame_that_overflows_is_kept():
    backlog = Backlog()
    backlog.push(key(0))
    backlog.push(inter(1000))
    backlog.push(key(2040))
    assert backlog.pop_all() == [key(2040)]


def test_sound_is_dropped_far_beyond():
    backlog = Backlog()
    backlog.push(AAC)
    for timestamp in range(0, 12_000, 20):
        backlog.push(sound(timestamp))
    left = backlog.pop_all()
    assert left[0] == AAC
    assert times(left, AUDIO)[0] == 11_980 - 10_000
    assert backlog.dropped_audio == 99


def test_headers_without_frames_between_do_not_pile_up():
    backlog = Backlog()
    for timestamp in range(0, 8000, 40):
        backlog.push(Tag(DATA, timestamp, b"m"))
        backlog.push(Tag(VIDEO, timestamp, AVC.body))
        backlog.push(key(timestamp) if timestamp == 0 else inter(timestamp))
    # The stall's drop took the frames between: the newest header of each kind is what counts.
    assert [(tag.type, tag.timestamp) for tag in backlog.pop_all()] == [(DATA, 7960), (VIDEO, 7960)]


def test_bytes_are_bounded():
    backlog = Backlog(max_bytes=1000)
    for timestamp in range(50):
        backlog.push(Tag(VIDEO, timestamp, b"\x17\1" + bytes(98)))
    assert backlog.size <= 1000
    assert times(backlog.pop_all(), VIDEO)[-1] == 49


def test_clear_waits_for_a_key_frame_again():
    backlog = Backlog()
    fill(backlog, 400, gop=1000)
    backlog.clear()
    assert backlog.key_frame_wanted
    assert len(backlog) == backlog.dropped_video == 0


@given(st.lists(st.tuples(st.sampled_from("kisavmp"), st.integers(0, 700)), max_size=200))
def test_bounds_and_decodability_hold(steps):
    backlog = Backlog()
    now = 0
    out: list[Tag] = []
    pushed: list[Tag] = []
    for what, step in steps:
        now += step
        if what == "p":
            out += backlog.pop(step)
            continue
        make = {"k": key, "i": inter, "s": sound}.get(what)
        body = {"a": AAC, "v": AVC, "m": META}
        tag = make(now) if make else Tag(body[what].type, now, body[what].body)
        pushed.append(tag)
        backlog.push(tag)
        waiting = list(backlog._tags)
        assert backlog.size == sum(len(tag.body) for tag in waiting)
        video = times(waiting, VIDEO)
        assert not video or tag.timestamp - video[0] <= 2000
        audio = times(waiting, AUDIO)
        assert not audio or tag.timestamp - audio[0] <= 10_000
    out += backlog.pop_all()
    assert len(times(out, VIDEO)) + backlog.dropped_video == len(times(pushed, VIDEO))
    assert len(times(out, AUDIO)) + backlog.dropped_audio == len(times(pushed, AUDIO))
    # Each frame that is no key frame follows the very frame it was pushed after.
    frames = [tag for tag in pushed if tag.type == VIDEO and not tag.is_header]
    sent = [tag for tag in out if tag.type == VIDEO and not tag.is_header]
    places = {id(tag): place for place, tag in enumerate(frames)}
    for before, tag in zip([None, *sent], sent, strict=False):
        assert tag.is_key or (before is not None and places[id(before)] == places[id(tag)] - 1)
