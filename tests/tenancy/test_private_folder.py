"""A folder for files that can be made again: nobody else reads or writes them, and nothing depends on it."""

from __future__ import annotations

import fcntl
import os
import stat
import threading
import time

import pytest

from tenancy import private_folder
from tenancy.private_folder import PrivateFolder


@pytest.fixture
def folder(tmp_path):
    return PrivateFolder(tmp_path / "var" / "compiled")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_what_was_written_is_read(folder):
    assert folder.read("a") is None
    folder.write("a", b"one")
    folder.write("a", b"two")
    assert folder.read("a") == b"two"
    assert [file.name for file in folder.path.iterdir()] == ["a"]


def test_only_the_user_may_read_it(folder):
    before = os.umask(0)
    try:
        folder.write("a", b"x")
        with folder.locked("lock"):
            pass
    finally:
        os.umask(before)
    assert mode(folder.path) == 0o700
    assert (mode(folder.path / "a"), mode(folder.path / "lock")) == (0o600, 0o600)


def test_a_folder_that_is_there_keeps_its_mode(folder):
    folder.path.mkdir(parents=True)
    folder.path.chmod(0o755)
    folder.write("a", b"x")
    assert mode(folder.path) == 0o755


@pytest.mark.parametrize("wide", [0o640, 0o604, 0o620, 0o601])
def test_a_file_with_a_wider_mode_is_not_believed(folder, wide, caplog):
    folder.write("a", b"x")
    (folder.path / "a").chmod(wide)
    assert folder.read("a") is None
    assert "is not ours alone" in caplog.text
    folder.write("a", b"y")
    assert (folder.read("a"), mode(folder.path / "a")) == (b"y", 0o600)


def test_a_file_of_another_user_is_not_believed(folder, monkeypatch):
    folder.write("a", b"x")
    monkeypatch.setattr(private_folder.os, "geteuid", lambda: os.getuid() + 1)
    assert folder.read("a") is None


@pytest.mark.parametrize("make", ["link", "folder", "pipe"])
def test_what_is_no_plain_file_is_not_believed(folder, make):
    folder.write("real", b"x")
    place = folder.path / "a"
    if make == "link":
        place.symlink_to(folder.path / "real")
    elif make == "folder":
        place.mkdir()
    else:
        os.mkfifo(place, 0o600)
    assert folder.read("a") is None


def test_a_folder_that_cannot_be_made_is_one_warning(tmp_path, caplog):
    (tmp_path / "file").touch()
    folder = PrivateFolder(tmp_path / "file" / "compiled")
    folder.write("a", b"x")
    with folder.locked("lock"):
        folder.write("a", b"x")
    assert folder.read("a") is None
    folder.prune("*", 0)
    assert caplog.text.count("Nothing can be kept in") == 1
    assert "TENANCY_CACHE_DIR" in caplog.text
    assert not folder.is_writable()


def test_it_says_before_whether_it_can_be_written(folder):
    assert folder.is_writable()
    folder.write("a", b"x")
    assert folder.is_writable()
    assert not PrivateFolder(folder.path / "a").is_writable()


def test_a_write_that_fails_leaves_what_was_there(folder, monkeypatch, caplog):
    folder.write("a", b"old")

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(private_folder.Path, "replace", full)
    folder.write("a", b"new")
    assert folder.read("a") == b"old"
    assert [file.name for file in folder.path.iterdir()] == ["a"]
    assert "No space left on device" in caplog.text


def test_pruning_leaves_the_newest_and_no_old_drafts(folder):
    for number in range(5):
        folder.write(f"x-{number}.compiled", b"")
        os.utime(folder.path / f"x-{number}.compiled", (number, number))
    folder.write("other", b"")
    old, new = folder.path / ".x-9.compiled.0f", folder.path / ".x-8.compiled.0f"
    old.touch()
    os.utime(old, (1, 1))
    new.touch()
    folder.prune("x-*.compiled", 2)
    names = {file.name for file in folder.path.iterdir()}
    assert names == {"x-3.compiled", "x-4.compiled", "other", new.name}


def test_one_at_a_time_is_let_in(folder):
    inside, most, done = [], [], []

    def work():
        with folder.locked("lock"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.005)
            inside.pop()
        done.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (max(most), len(done)) == (1, 8)


def test_a_lock_that_is_never_given_back_stops_nobody(folder, monkeypatch):
    monkeypatch.setattr(private_folder, "LOCK_SECONDS", 0.05)
    with folder.locked("lock"), folder.locked("lock"):
        pass


def test_a_file_system_without_locks_stops_nobody(folder, monkeypatch):
    def refuse(*arguments):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with folder.locked("lock"):
        pass


def test_what_fails_inside_gives_the_lock_back(folder):
    with pytest.raises(KeyError), folder.locked("lock"):
        raise KeyError
    with folder.locked("lock"):
        pass
