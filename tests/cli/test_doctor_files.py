"""`difair doctor` on file systems: what those of the output root and of the cache lack, and what follows."""

import errno
import os
from pathlib import Path

import pytest

from difair_hpc.cli import doctor
from difair_hpc.cli.doctor import file_system
from tests.cli.test_doctor import told
from tests.sites.answers import Site

MOUNTS = r"""
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 27 0:40 / /home rw,relatime - autofs systemd-1 rw
41 27 0:41 / /home rw,relatime shared:2 - nfs4 server:/home rw,vers=4.2
42 27 0:42 / /scratch/my\040data rw - fuse.beegfs beegfs rw
43 27 0:43 / /homework rw - xfs /dev/vdb rw
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("lacks", "said"),
    [
        (("os.link", errno.EPERM), ("warn", "no hard link (Operation not permitted)")),
        (("fcntl.flock", errno.ENOSYS), ("warn", "no flock (Function not implemented)")),
        (("fcntl.flock", errno.ENOLCK), ("warn", "no flock (No locks available)")),
        (("os.fsync", errno.EINVAL), ("warn", "no fsync (Invalid argument)")),
        (("os.replace", errno.EPERM), ("FAIL", "no rename (Operation not permitted)")),
        (("tempfile.mkdtemp", errno.EDQUOT), ("FAIL", "Disk quota exceeded")),
    ],
)
def test_what_the_file_system_of_the_root_lacks_is_said_with_what_follows(
    capsys: pytest.CaptureFixture[str],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    lacks: tuple[str, int],
    said: tuple[str, str],
) -> None:
    def lack(*_: object, **__: object) -> None:
        raise OSError(lacks[1], os.strerror(lacks[1]))

    monkeypatch.setattr(lacks[0], lack)
    before = sorted(here.rglob("*"))
    mark, words = told(capsys, code=1 if said[0] == "FAIL" else 0)["root's files"]
    assert mark == said[0]
    assert said[1] in words
    assert sorted(here.rglob("*")) == before


def test_a_cache_that_cannot_be_written_stops_no_study(
    capsys: pytest.CaptureFixture[str], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "slurm").mkdir()
    (here / "slurm/site.yaml").write_text("{executor: slurm, device: cpu}")
    monkeypatch.setattr(doctor, "run_command", Site())
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "cache"))
    assert told(capsys, "cluster=site")["squeue's cache"][0] == "ok"
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "slurm/site.yaml"))
    mark, words = told(capsys, "cluster=site")["squeue's cache"]
    assert mark == "warn"
    assert "studies go on" in words


def test_a_mount_point_of_foreign_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mounts").write_bytes(b"43 27 0:43 / /srv/caf\xe9 rw - xfs /dev/vdb rw\n")
    monkeypatch.setattr(doctor, "MOUNTS", tmp_path / "mounts")
    assert file_system(doctor._mounts(), Path(os.fsdecode(b"/srv/caf\xe9/x"))) == "xfs"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/x", "ext4"),
        ("/", "ext4"),
        ("/home/me/outputs", "nfs4"),
        ("/homework", "xfs"),
        ("/scratch/my data/o", "fuse.beegfs"),
        ("/scratch/my", "ext4"),
    ],
)
def test_the_file_system_of_a_path(path: str, kind: str) -> None:
    assert file_system(MOUNTS.strip(), Path(path)) == kind
    assert file_system("", Path(path)) == ""


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "lustre", "gpfs", "beegfs", "beegfs_nodev", "ceph", "fuse.glusterfs"])
def test_file_systems_that_machines_share(kind: str) -> None:
    assert doctor.SHARED.fullmatch(kind)
    assert not doctor.LOCAL.fullmatch(kind)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay"])
def test_file_systems_of_one_machine(kind: str) -> None:
    assert doctor.LOCAL.fullmatch(kind)
    assert not doctor.SHARED.fullmatch(kind)
