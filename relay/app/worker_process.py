"""`python -m relay.app.worker_process N`: one worker process; N is the descriptor of its link to the server."""

import sys

from relay.app import logs
from relay.engine import child

if __name__ == "__main__":
    child.run(int(sys.argv[1]), logs.configure)
