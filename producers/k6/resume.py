"""Goes on where a bridge was killed, or had to leave points on disk."""

from pathlib import Path

from producers.k6.bridge import Bridge, Watch
from producers.k6.delivery import Say
from producers.k6.folder import RunFolder
from producers.k6.outcome import RunResult


async def resume_run(
    path: Path, bootstrap: str, *, say: Say, watch: Watch = lambda _done, _size: None
) -> RunResult:
    """Bridge a run's folder to its end, and remove it; k6 may still be running.

    Cancel it to stop: the folder stays, k6 goes on, and this can be called again.

    Raises:
        Permanent: the folder holds no run, or another process has it.
    """
    folder = RunFolder(path)
    try:
        bridge = Bridge(folder, bootstrap, say, successor=True, watch=watch)
        if (pid := folder.pid()) is not None:
            say(
                f"k6 still runs (process {pid}); Ctrl-C here leaves it running, `kill {pid}` ends it."
            )
        return await bridge.run()
    finally:
        folder.close()
