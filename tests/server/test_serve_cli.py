"""``dreamenv serve``, as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from dreamenv_client.v1 import dream_pb2 as pb
from typer.testing import CliRunner

from dreamenv.cli import app

PLAIN = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"}


class Served:
    """A process that serves the tiny package."""

    def __init__(self, process: asyncio.subprocess.Process, names: str, address: str) -> None:
        self.process, self.names, self.address = process, names, address

    async def ended(self) -> tuple[int, list[dict[str, Any]]]:
        """Its exit code and what it logged, once it has ended by itself."""
        _, errors = await self.process.communicate()
        assert self.process.returncode is not None
        lines = [line for line in errors.decode().splitlines() if line.startswith("{")]
        return self.process.returncode, [json.loads(line) for line in lines]


@contextlib.asynccontextmanager
async def serving(folder: Path, state: Path, *arguments: str) -> AsyncIterator[Served]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "dreamenv", "serve", "--model", str(folder)),
        *("--address", "127.0.0.1:0", "--lanes", "8", "--threads", "1", "--log-format", "json"),
        *arguments,
        env={**os.environ, "XDG_STATE_HOME": str(state)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        match = re.fullmatch(r"serving (.+) on (127\.0\.0\.1:\d+)\n", line)
        assert match, (line, (await process.communicate())[1].decode())
        yield Served(process, match[1], match[2])
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def attached(calls: Any) -> Any:
    """A stream with a session of two lanes that have begun."""
    info = await calls.OpenSession(pb.OpenSessionRequest(model="tiny", lanes=2))
    stream = calls.Session()
    await stream.write(pb.SessionRequest(attach=pb.AttachRequest(session=info.session)))
    await stream.write(pb.SessionRequest(seq=1, reset=pb.ResetRequest()))
    assert (await stream.read()).WhichOneof("result") == "attached"
    assert (await stream.read()).WhichOneof("result") == "lanes"
    return stream, info


def run(test: Any) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(120):
            await test()

    asyncio.run(in_time())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_ends_with_0(number, tiny_folder, dreams, tmp_path):
    async def test() -> None:
        async with (
            serving(tiny_folder, tmp_path, "--drain-seconds", "0") as served,
            grpc.aio.insecure_channel(served.address) as channel,
        ):
            assert served.names == "tiny"
            stream, info = await attached(dreams(channel))
            served.process.send_signal(number)
            told = await stream.read()
            assert told.draining.last_seq == 1
            assert told.draining.snapshot
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                await stream.read()
            assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
            code, logged = await served.ended()
            assert code == 0
            events = [line["event"] for line in logged]
            for event in ("serving", "signal", "draining", "finishing", "stopped"):
                assert event in events
            assert info.session not in json.dumps(logged)  # it is a key as well
            assert (tmp_path / "dreamenv" / "snapshot.key").stat().st_mode & 0o777 == 0o600

    run(test)


def test_running_sessions_go_on_while_it_drains_and_a_second_signal_ends_at_once(
    tiny_folder, dreams, tmp_path
):
    async def test() -> None:
        async with (
            serving(tiny_folder, tmp_path, "--drain-seconds", "3600") as served,
            grpc.aio.insecure_channel(served.address) as channel,
        ):
            calls = dreams(channel)
            stream, _ = await attached(calls)
            served.process.send_signal(signal.SIGTERM)
            another = pb.OpenSessionRequest(model="tiny", lanes=1)
            code = grpc.StatusCode.OK
            while code is grpc.StatusCode.OK:  # until the signal has come
                try:
                    opened = await calls.OpenSession(another)
                except grpc.aio.AioRpcError as error:
                    code = error.code()
                else:
                    header = pb.Header(session=opened.session)
                    await calls.CloseSession(pb.CloseSessionRequest(header=header))
            assert code is grpc.StatusCode.UNAVAILABLE
            for seq in range(2, 6):
                await stream.write(pb.SessionRequest(seq=seq, reset=pb.ResetRequest()))
                assert (await stream.read()).seq == seq
            served.process.send_signal(signal.SIGTERM)
            ended, logged = await served.ended()
            assert ended == 128 + signal.SIGTERM
            assert logged[-1]["event"] == "ended"

    run(test)


def test_it_ends_by_itself_once_the_last_session_is_closed(tiny_folder, dreams, tmp_path):
    async def test() -> None:
        async with (
            serving(tiny_folder, tmp_path, "--drain-seconds", "3600") as served,
            grpc.aio.insecure_channel(served.address) as channel,
        ):
            calls = dreams(channel)
            _, info = await attached(calls)
            served.process.send_signal(signal.SIGTERM)
            header = pb.Header(session=info.session)
            await calls.CloseSession(pb.CloseSessionRequest(header=header))
            assert (await served.ended())[0] == 0

    run(test)


def refused(*arguments: object) -> str:
    """What the command says as it refuses."""
    result = CliRunner().invoke(app, ["serve", *map(str, arguments)], env=PLAIN)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return result.stderr


def test_what_is_wrong_is_said_in_one_line(tmp_path):
    missing = tmp_path / "missing"
    for arguments, said in (
        (["--address", "0.0.0.0:1"], "error: address: 0.0.0.0:1 can be reached from other mach"),
        (["--tls-cert", missing], "error: tls: expected both"),
        (["--steps-per-second", "-1"], "error: steps_per_second: expected a number above 0"),
        (["--log-format", "xml"], "error: log-format: expected one of json, text"),
    ):
        lines = refused(*arguments).strip().splitlines()
        assert len(lines) == 1
        assert lines[0].startswith(said)


def test_without_the_server_it_says_what_to_install():
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'dreamenv_server':\n"
        "            raise ModuleNotFoundError('No module', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from dreamenv.cli import app\n"
        "app(['serve'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    assert done.returncode == 2
    assert done.stderr.strip() == (
        'error: serve: the server is not here; pip install "dreamenv[server]"'
    )
