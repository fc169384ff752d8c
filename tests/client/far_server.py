"""A dream server in a process of its own, which can be killed, drained and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self


class FarServer:
    """Serves until it is closed.

    Args:
        folder: for its key, which outlives it.
        models: see ``dreamenv_server.server.ServerConfig``, as for what is in ``config``.
    """

    def __init__(self, folder: Path, models: list[str], **config: Any) -> None:
        self._config = {
            "models": models,
            "lanes": 128,
            "threads": 1,
            "key_file": str(folder / "key"),
            "drain_seconds": 0.0,
            **config,
        }
        self.address = "127.0.0.1:0"
        self.start()

    def start(self) -> None:
        """Start, at the address it had before if it had one."""
        said = json.dumps(self._config | {"address": self.address})
        self._process = subprocess.Popen(
            [sys.executable, __file__, said],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        assert self._process.stdout is not None
        port = self._process.stdout.readline().strip()
        assert port, "the server did not start"
        self.address = f"127.0.0.1:{port}"

    def configure(self, **config: Any) -> None:
        """Change its config; for the next start."""
        self._config |= config

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._end()

    def drain(self) -> None:
        """SIGTERM, and wait for its end."""
        self._process.send_signal(signal.SIGTERM)
        self._end()

    def _end(self) -> None:
        self._process.wait(timeout=60)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def main() -> None:
    import asyncio

    from dreamenv_server.process import serve
    from dreamenv_server.quotas import QuotaConfig
    from dreamenv_server.server import ServerConfig

    config = json.loads(sys.argv[1])
    config["models"] = tuple(config["models"])
    for name in ("key_file", "token_file", "tls_cert", "tls_key", "tls_client_ca"):
        if name in config:
            config[name] = Path(config[name])
    if "quotas" in config:
        config["quotas"] = QuotaConfig(**config["quotas"])
    asyncio.run(serve(ServerConfig(**config), lambda server: print(server.port, flush=True)))


if __name__ == "__main__":
    main()
