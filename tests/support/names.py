"""A resolver's system side, as tests want names answered."""

import socket
import threading
from collections.abc import Callable


class Names:
    """Answers by name; a list of lists is answered one after the other, the last of them for ever."""

    def __init__(self, answers: dict[str, list[str] | list[list[str]]]) -> None:
        self._answers = dict(answers)
        self.asked: list[str] = []

    def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        answer = self._answers.get(host)
        if not answer:
            raise socket.gaierror(socket.EAI_NONAME, "nobody knows")
        if isinstance(answer[0], str):
            return [str(address) for address in answer]
        now = answer[0]
        if len(answer) > 1:
            self._answers[host] = answer[1:]  # type: ignore[assignment]  # of lists still
        return list(now)


class Hanging:
    """Answers nobody until it is let go."""

    def __init__(self, answer: Callable[[str], list[str]] = lambda host: ["127.0.0.1"]) -> None:
        self._answer = answer
        self._go = threading.Event()
        self.asked: list[str] = []

    def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        assert self._go.wait(30)
        return self._answer(host)

    def let_go(self) -> None:
        self._go.set()
