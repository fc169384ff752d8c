"""Health, at the local door and by the probe."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest
from dreamenv_server.health import Health, HealthDoor

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    # A container's proxy is not asked for what is on this machine.
    "http_proxy": "http://127.0.0.1:9",
    "grpc_proxy": "http://127.0.0.1:9",
}


async def probe(*arguments: str) -> tuple[int, str]:
    """Exit code and errors of ``python -m dreamenv_server.health``."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dreamenv_server.health", *arguments),
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
    )
    _, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, errors.decode()


@pytest.mark.parametrize("kind", ["unix", "port"])
def test_the_probe_tells_whether_the_server_serves(kind, tmp_path):
    async def run() -> None:
        health = Health("some.Service")
        await health.say(serving=False)
        door = HealthDoor(f"unix:{tmp_path}/health" if kind == "unix" else "127.0.0.1:0")
        await door.open(health)
        address = f"unix:{tmp_path}/health" if kind == "unix" else f"127.0.0.1:{door.port}"
        starting, serving, draining, closed = [], [], [], []
        starting.append(await probe(address))
        await health.say(serving=True)
        serving.append(await probe(address))
        await health.say(serving=False)
        draining.append(await probe(address))
        await door.close()
        closed.append(await probe(address))
        assert serving[0][0] == 0
        for code, errors in starting + draining:
            assert code == 1
            assert "NOT_SERVING" in errors
        assert closed[0][0] == 1
        assert "UNAVAILABLE" in closed[0][1]

    asyncio.run(run())


@pytest.mark.parametrize(
    "address", ["0.0.0.0:1", "10.0.0.1:1", "[::]:1", "unix:relative", "gpu-box:1", "nothing", ":1"]
)
def test_the_door_opens_to_this_machine_only(address):
    with pytest.raises(ValueError, match="health-address: expected "):
        HealthDoor(address)


def test_a_door_that_cannot_be_bound_says_so(tmp_path):
    async def run() -> None:
        first = HealthDoor("127.0.0.1:0")
        await first.open(Health())
        for address in (f"127.0.0.1:{first.port}", f"unix:{tmp_path}/missing/socket"):
            with pytest.raises(OSError, match=f"health-address: {address} cannot be bound"):
                await HealthDoor(address).open(Health())
        await first.close()

    asyncio.run(run())


def test_the_probe_is_light():
    code = (
        "import sys, dreamenv_server.health\n"
        "sys.exit(bool({'torch', 'dreamenv', 'gymnasium', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_probe_wants_an_address():
    code, errors = asyncio.run(probe())
    assert code == 1
    assert "usage: python -m dreamenv_server.health" in errors
