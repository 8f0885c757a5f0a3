"""The README tells the truth about settings and commands."""

import re
from pathlib import Path

from relay.app.settings import Settings

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_every_setting_stands_in_the_readme_and_no_other() -> None:
    told = set(re.findall(r"^\| `RELAY_(\w+)`", README, re.MULTILINE))
    assert told == {name.upper() for name in Settings.model_fields}


def test_defaults_are_those_of_the_settings() -> None:
    for name, default in re.findall(r"^\| `RELAY_(\w+)` \| `([^`]+)`", README, re.MULTILINE):
        value = Settings.model_fields[name.lower()].default
        assert str(value).lower() == default, name


def test_the_commands_come_before_line_30() -> None:
    top = "\n".join(README.splitlines()[:30])
    assert "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/relay demo\n" in top
    assert "\ntests/run\n" in top
