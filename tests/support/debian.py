"""The programs that tests talk to, from Debian's packages. `python -m tests.support.debian` installs them all."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Program:
    """`probe`: a shell command that succeeds where the program is there, however it came."""

    probe: str
    packages: tuple[str, ...]


PROGRAMS: Mapping[str, Program] = {
    "nginx": Program(
        "command -v nginx && test -e /usr/lib/nginx/modules/ngx_rtmp_module.so", ("nginx-light", "libnginx-mod-rtmp")
    ),
    "ffmpeg": Program("command -v ffmpeg", ("ffmpeg",)),
    "chromium": Program("test -x /usr/bin/chromium", ("chromium",)),
    "gstreamer": Program(
        # libnice's plugin has a version of its own, below GStreamer's, which is what is asked for otherwise.
        "gst-inspect-1.0 --exists --atleast-version=0.1 nicesrc && gst-inspect-1.0 --exists x264enc && "
        "gst-inspect-1.0 --exists webrtcbin && "
        "/usr/bin/python3 -c \"import gi; gi.require_version('GstWebRTC', '1.0')\"",
        (
            "python3-gi",
            "gir1.2-gst-plugins-bad-1.0",
            "gstreamer1.0-tools",
            "gstreamer1.0-nice",
            "gstreamer1.0-plugins-base",
            "gstreamer1.0-plugins-good",
            "gstreamer1.0-plugins-bad",
            "gstreamer1.0-plugins-ugly",
        ),
    ),
    "postgresql": Program("ls /usr/lib/postgresql/*/bin/initdb", ("postgresql",)),
    "coturn": Program("command -v turnserver", ("coturn",)),
    "espeak-ng": Program("command -v espeak-ng", ("espeak-ng",)),
    "faad": Program("command -v faad", ("faad",)),
    "npm": Program("command -v node && command -v npm", ("nodejs", "npm")),
}


def need(*names: str) -> None:
    """Installs those that are missing; needs root or sudo. Raises `CalledProcessError` where one cannot be had."""
    missing = [program for program in map(PROGRAMS.__getitem__, names) if not _is_there(program)]
    if not missing:
        return
    root = [] if os.geteuid() == 0 else ["sudo"]
    packages = [package for program in missing for package in program.packages]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]  # another run may be installing, too
    for command in ([*apt, "update"], [*apt, "install", "-y", "--no-install-recommends", *packages]):
        subprocess.run([*root, *command], check=True, env=environment, timeout=600, stdout=subprocess.DEVNULL)


def _is_there(program: Program) -> bool:
    return subprocess.run(["sh", "-c", program.probe], capture_output=True, timeout=60).returncode == 0


if __name__ == "__main__":
    need(*PROGRAMS)
