"""Runs a program as another account than root: PostgreSQL refuses to be root.

Started by root as `python -I unprivileged.py UID GID CAPABILITY program args…`. The account is
the owner of the data folder, `nobody` for a new one: no account is made, nothing is chmodded. When
the account can't walk to the program or the data (a checkout below /root, mode 0700), the program
keeps one Linux capability, to read and enter any folder, instead of opening the folders to all.
"""

import ctypes
import os
import pwd
import sys
from dataclasses import dataclass
from pathlib import Path

PR_CAPBSET_READ = 23
PR_SET_SECUREBITS = 28
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
# access(2) judges by the real user and would forget our capability without this bit.
SECBIT_NO_SETUID_FIXUP = 1 << 2
CAPABILITY_VERSION_3 = 0x20080522
CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE = 2, 1
NO_CAPABILITY = -1


@dataclass(frozen=True)
class Account:
    """A system account by its numbers."""

    uid: int
    gid: int


def account(data: Path) -> Account | None:
    """Who must own and run what is in this data folder; None: whoever we are, for we aren't root."""
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:
        return Account(data.stat().st_uid, data.stat().st_gid)
    nobody = pwd.getpwnam("nobody")
    return Account(nobody.pw_uid, nobody.pw_gid)


def prefix(account: Account | None, paths: tuple[Path, ...]) -> tuple[str, ...]:
    """What goes before a command line so that it runs as the account and can reach the paths."""
    if account is None:
        return ()
    capability = NO_CAPABILITY if all(map(_open_to_all, paths)) else _capability()
    launcher = (sys.executable, "-I", __file__)
    return (*launcher, str(account.uid), str(account.gid), str(capability))


def _open_to_all(path: Path) -> bool:
    """Whether anybody may walk to a path; its own mode matters to its owner alone."""
    return all(folder.stat().st_mode & 0o001 for folder in path.parents if folder.exists())


def _capability() -> int:
    """The smaller capability where we may give it; containers often have only the larger one."""
    libc = ctypes.CDLL(None)
    for capability in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE):
        if libc.prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1:
            return capability
    return NO_CAPABILITY


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def _become(uid: int, gid: int, capability: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    keep = capability != NO_CAPABILITY

    def must(result: int, what: str) -> None:
        if result != 0:
            raise OSError(ctypes.get_errno(), f"{what} is refused here")

    if keep:
        must(libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0), "PR_SET_SECUREBITS")
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if keep:
        bits = 1 << capability
        sets = (_Data * 2)(_Data(bits, bits, bits), _Data(0, 0, 0))
        must(libc.capset(ctypes.byref(_Header(CAPABILITY_VERSION_3, 0)), sets), "capset")
        must(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0), "PR_CAP_AMBIENT")


def _main() -> None:
    uid, gid, capability = map(int, sys.argv[1:4])
    _become(uid, gid, capability)
    os.execv(sys.argv[4], sys.argv[4:])  # noqa: S606 - an argument vector, no shell


if __name__ == "__main__":
    _main()
