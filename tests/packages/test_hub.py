"""Push and pull, against a hub that is a local folder; and local folders without the client."""

from __future__ import annotations

import hashlib
import inspect
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import HfApi

from dreamenv import hub
from dreamenv.errors import PackageError
from dreamenv.package_files import MAX_BYTES
from dreamenv.packages import load_config, load_package
from dreamenv.sources import is_hub_id


class FolderHub:
    """The four calls of ``HfApi`` that are used, on ``root/org/name/<commit>/``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.calls: list[str] = []
        self.sizes: dict[str, int | None] = {}

    def create_repo(self, repo_id, *, private, exist_ok):
        self.calls.append("create_repo")
        (self.root / repo_id).mkdir(parents=True, exist_ok=exist_ok)

    def upload_folder(self, *, repo_id, folder_path, allow_patterns, commit_message):
        self.calls.append("upload_folder")
        count = len(list((self.root / repo_id).iterdir()))
        commit = hashlib.sha1(f"{commit_message} {count}".encode()).hexdigest()
        target = self.root / repo_id / commit
        target.mkdir()
        for name in allow_patterns:
            shutil.copy(folder_path / name, target)
        (self.root / repo_id / "main").write_text(commit)
        return SimpleNamespace(commit_url=f"hub/{repo_id}/{commit}")

    def model_info(self, repo_id, *, revision, files_metadata):
        self.calls.append("model_info")
        assert files_metadata
        commit = self.commit(repo_id, revision)
        files = [
            SimpleNamespace(
                rfilename=path.name, size=self.sizes.get(path.name, path.stat().st_size)
            )
            for path in sorted((self.root / repo_id / commit).iterdir())
        ]
        return SimpleNamespace(sha=commit, siblings=files)

    def hf_hub_download(self, repo_id, filename, *, revision, local_dir):
        self.calls.append(f"hf_hub_download {filename}")
        (Path(local_dir) / ".cache" / "huggingface").mkdir(parents=True, exist_ok=True)
        shutil.copy(self.root / repo_id / self.commit(repo_id, revision) / filename, local_dir)

    def commit(self, repo_id, revision):
        if not (self.root / repo_id).is_dir():
            raise ConnectionError(f"404 {repo_id}")
        return (self.root / repo_id / "main").read_text() if revision is None else revision


@pytest.fixture
def client(tmp_path, monkeypatch) -> FolderHub:
    monkeypatch.setenv("DREAMENV_CACHE", str(tmp_path / "cache"))
    (tmp_path / "hub").mkdir()
    client = FolderHub(tmp_path / "hub")
    monkeypatch.setattr(hub, "_client", lambda: client)
    return client


def uploaded(client: FolderHub) -> Path:
    repo = client.root / "me" / "car"
    return repo / (repo / "main").read_text()


def test_the_fake_has_the_clients_own_signatures():
    """Every keyword that the fake takes, the real client takes too."""
    for name in ("create_repo", "upload_folder", "model_info", "hf_hub_download"):
        fake = list(inspect.signature(getattr(FolderHub, name)).parameters.values())
        real = inspect.signature(getattr(HfApi, name)).parameters
        for parameter in fake:
            assert real[parameter.name].kind in (parameter.kind, inspect.Parameter.KEYWORD_ONLY)


def test_push_then_pull(client, tiny_package):
    address = hub.push(tiny_package, "me/car")
    assert address == f"hub/me/car/{uploaded(client).name}"
    folder = hub.pull("me/car")
    assert {path.name for path in folder.iterdir()} == MAX_BYTES.keys()
    assert not any(path.is_symlink() for path in folder.rglob("*"))
    assert load_package(folder).identity == load_package(tiny_package).identity
    assert [path.name for path in folder.parent.iterdir()] == [uploaded(client).name]


def test_a_hub_id_is_a_source(client, tiny_package):
    hub.push(tiny_package, "me/car")
    assert load_config("me/car") == load_config(tiny_package)
    assert load_package("me/car").identity == load_package(tiny_package).identity


def test_a_commit_is_downloaded_once_and_a_new_one_found(
    client, tiny_package, make_package, tmp_path
):
    from dreamenv.packages import save_package

    hub.push(tiny_package, "me/car")
    old = uploaded(client).name
    hub.pull("me/car")
    client.calls.clear()
    hub.pull("me/car")
    assert client.calls == ["model_info"]
    newer = save_package(make_package(seed=5), tmp_path / "newer", "newer")
    hub.push(newer, "me/car")
    assert load_package("me/car").identity == load_package(newer).identity
    assert load_package(f"me/car@{old}").identity == load_package(tiny_package).identity
    assert hub.pull("me/car", revision=old).name == old


def test_only_the_four_files_travel(client, tiny_package, tmp_path):
    mine = tmp_path / "mine"
    shutil.copytree(tiny_package, mine)
    (mine / "token.txt").write_text("secret")
    hub.push(mine, "me/car")
    assert {path.name for path in uploaded(client).iterdir()} == MAX_BYTES.keys()
    (uploaded(client) / "setup.py").write_text("raise SystemExit")
    client.calls.clear()
    folder = hub.pull("me/car")
    assert client.calls == ["model_info", *(f"hf_hub_download {name}" for name in MAX_BYTES)]
    assert {path.name for path in folder.iterdir()} == MAX_BYTES.keys()


def test_a_bad_package_is_not_pushed(client, tiny_package, tmp_path):
    bad = tmp_path / "bad"
    shutil.copytree(tiny_package, bad)
    (bad / "config.json").write_text("{}")
    with pytest.raises(PackageError, match=r"config.json"):
        hub.push(bad, "me/car")
    assert client.calls == []


def test_a_bad_download_is_refused_and_not_kept(client, tiny_package, tmp_path):
    cache = tmp_path / "cache"
    hub.push(tiny_package, "me/car")
    good = (uploaded(client) / "model.safetensors").read_bytes()
    (uploaded(client) / "model.safetensors").write_bytes(good[:-1])
    with pytest.raises(PackageError, match=r"model.safetensors: size"):
        hub.pull("me/car")
    assert [path for path in cache.rglob("*") if path.is_file()] == []
    # Loading checks as well; a pull then clears away what that left.
    with pytest.raises(PackageError, match=r"model.safetensors: size"):
        load_package("me/car")
    with pytest.raises(PackageError, match=r"model.safetensors: size"):
        hub.pull("me/car")
    (uploaded(client) / "model.safetensors").write_bytes(good)
    assert load_package("me/car").identity == load_package(tiny_package).identity


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"model.safetensors": 10**12}, r"me/car/model.safetensors: size: .*found 1000000000000"),
        ({"config.json": 2**21}, r"me/car/config.json: size"),
        ({"README.md": None}, r"me/car/README.md: size: .*no such file"),
        (
            {"model.safetensors": 2**31, "start_states.safetensors": 2**31},
            r"me/car: size: expected at most \d+ bytes in all",
        ),
    ],
)
def test_what_could_be_no_package_is_not_downloaded(client, tiny_package, sizes, said):
    hub.push(tiny_package, "me/car")
    client.sizes = sizes
    client.calls.clear()
    with pytest.raises(PackageError, match=said):
        hub.pull("me/car")
    assert client.calls == ["model_info"]


def test_a_commit_that_is_a_path_is_refused(client, tiny_package, monkeypatch, tmp_path):
    hub.push(tiny_package, "me/car")
    answer = client.model_info("me/car", revision=None, files_metadata=True)
    answer.sha = "../../../escaped"
    monkeypatch.setattr(client, "model_info", lambda *args, **kwargs: answer)
    with pytest.raises(PackageError, match="commit: expected 40 hexadecimal digits"):
        hub.pull("me/car")
    assert not (tmp_path / "cache").exists()


def test_a_download_that_breaks_off_leaves_nothing(client, tiny_package, monkeypatch, tmp_path):
    hub.push(tiny_package, "me/car")
    fetch = client.hf_hub_download

    def break_off(repo_id, filename, **kwargs):
        if filename == "start_states.safetensors":
            raise ConnectionError("reset by peer")
        fetch(repo_id, filename, **kwargs)

    monkeypatch.setattr(client, "hf_hub_download", break_off)
    with pytest.raises(PackageError, match="found ConnectionError: reset by peer") as refused:
        hub.pull("me/car")
    assert isinstance(refused.value.__cause__, ConnectionError)
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_a_repository_that_is_not_there(client):
    with pytest.raises(PackageError, match=r"me/nothing: hub: .*Check the name, the network"):
        load_config("me/nothing")


@pytest.mark.parametrize(
    "name",
    [
        "me",
        "me/../car",
        "../car",
        "me/..",
        "/me/car",
        "me/car/..",
        "me\\car",
        "me:car/x",
        "C:/car",
        "me/car@",
        "me/car@../x",
        "me/car@a:b",
        "me/ca r",
        "me/car\n",
        "",
        "-me/car",
        "me/" + "c" * 97,
    ],
)
def test_names_that_are_no_hub_ids(client, name):
    assert not is_hub_id(name)
    for use in (hub.pull, hub.download, lambda name: hub.push("nowhere", name)):
        with pytest.raises(PackageError, match=r'name: expected "org/name"'):
            use(name)
    assert client.calls == []


WITHOUT_CLIENT = """
import sys
sys.modules["huggingface_hub"] = None
from dreamenv.packages import load_package
print(load_package(sys.argv[1]).config.name)
try:
    load_package("me/car")
except ImportError as error:
    print(error)
"""


def test_local_folders_work_without_the_client(tiny_package, tmp_path):
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_CLIENT, tiny_package],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert ran.returncode == 0, ran.stderr
    name, said = ran.stdout.splitlines()
    assert name == "tiny"
    assert 'pip install "dreamenv[hub]"' in said
