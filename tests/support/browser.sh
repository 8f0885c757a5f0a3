#!/bin/sh
# Debian's Chromium without real-time priority: as root it would take it for its sound and drawing, and a thread that
# spins with it keeps everything else off the processor. $BROWSER_PID: file that takes the process's id.
echo $$ >"$BROWSER_PID"
[ "$(id -u)" = 0 ] || exec /usr/bin/chromium "$@"
exec setpriv --bounding-set=-sys_nice --inh-caps=-sys_nice --pdeathsig=KILL /usr/bin/chromium "$@"
