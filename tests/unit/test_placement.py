from relay.core.load import Load
from relay.engine.placement import Candidate, choose


def test_nobody_to_choose_from() -> None:
    assert choose([]) is None


def test_the_less_busy_one() -> None:
    assert choose([Candidate(0, Load(cpu_share=0.5), 1), Candidate(1, Load(cpu_share=0.2), 9)]) == 1


def test_rooms_decide_between_those_about_as_busy() -> None:
    assert choose([Candidate(0, Load(cpu_share=0.31), 4), Candidate(1, Load(cpu_share=0.33), 3)]) == 1


def test_many_rooms_at_once_are_spread() -> None:
    rooms = [0, 0, 0]
    for _ in range(30):
        number = choose([Candidate(n, Load(), count) for n, count in enumerate(rooms)])
        assert number is not None
        rooms[number] += 1
    assert rooms == [10, 10, 10]


def test_one_that_runs_late_comes_last() -> None:
    assert choose([Candidate(0, Load(cpu_share=0.1, lag=0.3), 0), Candidate(1, Load(cpu_share=0.6), 9)]) == 1
