"""Opening the history, to read it or to write one transaction into it; every refusal in one sentence."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import sqlite3
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sistasks.errors import HistoryError
from sistasks.history import schema

if TYPE_CHECKING:
    from collections.abc import Iterator

# seconds that a session waits for another one to finish writing
TIMEOUT: Final = 30.0
# the first SQLite with STRICT tables
_SQLITE_MINIMUM: Final = (3, 37, 0)
# what SQLite's shared memory takes
_ROOM: Final = 1 << 15
_SIDE_FILES: Final = ("-wal", "-shm", "-journal")
# what it answers where it cannot make that
_NO_SHARED_MEMORY: Final = frozenset(
    {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL}
)


@contextlib.contextmanager
def reading(db: Path, timeout: float = TIMEOUT) -> Iterator[sqlite3.Connection | None]:
    """Open the history to read it; it sees what other sessions have committed, the write-ahead log included.

    Rows come as `sqlite3.Row`. Nothing is created where nothing is.

    Yields:
        The connection, or None if there is no history yet: no file, or an empty one.

    Raises:
        HistoryError: the file is there and is no history of ours that can be read.
    """
    if not _exists(db):
        yield None
        return
    # one that may only read must leave SQLite's log and shared memory behind; one that might write, and is told not to,
    # takes them away when it is the last to close
    with _refusals(db, timeout), contextlib.closing(open_to_read(db, timeout, mode="rw")) as connection:
        connection.execute("PRAGMA query_only = ON")
        connection.row_factory = sqlite3.Row
        yield connection if schema.applied(connection, db) else None


@contextlib.contextmanager
def writing(db: Path, timeout: float = TIMEOUT) -> Iterator[sqlite3.Connection]:
    """Open the history for ONE transaction, which is committed at the end of the block or leaves no trace.

    The file and its folder are created if they are not there, and the schema is brought up to date. The write lock is
    taken at once (BEGIN IMMEDIATE): a transaction that begins by reading and writes later fails at once when another
    one writes in between, however long it may wait.

    Args:
        db: the history.
        timeout: seconds to wait for another session that is writing.

    Raises:
        HistoryError: the file cannot be written or is no history of ours, another session holds it for longer than
            the timeout, the disk is full, or a row breaks a rule of the schema.
    """
    if sqlite3.sqlite_version_info < _SQLITE_MINIMUM:
        raise HistoryError(
            f"SQLite {sqlite3.sqlite_version} is too old to keep the history",
            "use a Python with SQLite 3.37 or newer",
        )
    with _refusals(db, timeout):
        if not _exists(db):
            try:
                _create(db)
            except OSError as error:
                raise _unusable(db, error) from error
        with _transaction(f"{_uri(db)}?mode=rw", db, timeout) as connection:
            schema.migrate(connection, db)
            yield connection


def prepare(db: Path, timeout: float = TIMEOUT) -> None:
    """Make the history if it is not there, and prove that it can be written, before anybody measures in vain.

    Raises:
        HistoryError: as `writing`.
    """
    with writing(db, timeout) as connection:
        # SQLite takes no notice of IMMEDIATE in a file that it can only read: that is found out by writing
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        connection.execute(f"PRAGMA user_version = {version:d}")


def _exists(db: Path) -> bool:
    try:
        mode = db.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _unusable(db, error) from error
    if stat.S_ISDIR(mode):
        raise HistoryError(f"{db} is a directory, and the history is a file", "choose a file with db=…")
    return True


def _unusable(db: Path, error: OSError) -> HistoryError:
    # a file where its folder should be
    words = os.strerror(errno.ENOTDIR) if isinstance(error, FileExistsError) else error.strerror
    return HistoryError(
        f"{db} cannot be used as the history: {words}", "allow it, or choose another file with db=…"
    )


def _uri(db: Path) -> str:
    return db.absolute().as_uri()


def open_to_read(
    db: Path, timeout: float = TIMEOUT, *, any_thread: bool = False, mode: str = "ro"
) -> sqlite3.Connection:
    """A connection that only reads, for those who keep it open; `reading` is what others want.

    Args:
        db: the history, which is there.
        timeout: seconds to wait for another session that is writing.
        any_thread: whether threads other than this one may use it, one at a time.
        mode: SQLite's (https://sqlite.org/uri.html): `rw` for whoever sees to it that nothing is written.

    Raises:
        sqlite3.Error: the file cannot be opened, or is no database.
    """
    connection = _connect_to_read(f"{_uri(db)}?mode={mode}", timeout, any_thread=any_thread)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        # in a folder that cannot be written, or has no room, SQLite cannot make its shared memory. With no log beside
        # the file, or an empty one, nobody is writing, and everything is in the file itself; a journal has what a
        # writer that was killed has overwritten there
        if _code(error) not in _NO_SHARED_MEMORY or any(map(_holds_something, _logs(db))):
            raise
        return _connect_to_read(f"{_uri(db)}?immutable=1", timeout, any_thread=any_thread)
    except BaseException:
        connection.close()
        raise
    return connection


def _logs(db: Path) -> list[Path]:
    return [Path(f"{os.path.realpath(db)}{suffix}") for suffix in ("-wal", "-journal")]


def _holds_something(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _connect_to_read(uri: str, timeout: float, *, any_thread: bool) -> sqlite3.Connection:
    return sqlite3.connect(
        uri, uri=True, timeout=timeout, isolation_level=None, check_same_thread=not any_thread
    )


def _open_to_write(uri: str, db: Path, timeout: float) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None)
    try:
        connection.execute("PRAGMA foreign_keys = ON")
        if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            schema.applied(connection, db)  # nothing is changed in what is not ours
            # the file was made by a hand or a copy. If somebody else has it open now, a later session will do this
            with contextlib.suppress(sqlite3.OperationalError):
                connection.execute("PRAGMA journal_mode = WAL").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def _transaction(uri: str, db: Path, timeout: float) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(_open_to_write(uri, db, timeout)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            # some failures (a full disk) have ended the transaction already; none may hide what has happened
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise


def _create(db: Path) -> None:
    """Make an empty history: beside its place, then renamed, so that nobody meets a half one.

    The folder is locked meanwhile: of two sessions that both find no history, the second must not put an empty
    one over the first one's.
    """
    import tempfile

    target = Path(os.path.realpath(db))
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if target.exists():
            return
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        os.close(descriptor)
        temporary = Path(name)
        try:
            with _transaction(_uri(temporary), db, TIMEOUT) as connection:
                schema.migrate(connection, db)
            temporary.chmod(0o644)
            # the log of a history that was deleted would be replayed into the new one
            _remove(target, *_SIDE_FILES)
            temporary.replace(target)
            os.fsync(folder)
        finally:
            _remove(temporary, "", *_SIDE_FILES)
    finally:
        os.close(folder)


def _remove(path: Path, *suffixes: str) -> None:
    for suffix in suffixes:
        with contextlib.suppress(OSError):
            Path(f"{path}{suffix}").unlink()


@contextlib.contextmanager
def _refusals(db: Path, timeout: float) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        refusal = _refusal(db, error, timeout)
        if refusal is None:
            raise
        raise refusal from error


def _code(error: sqlite3.Error) -> int | None:
    """SQLite's primary result code; None for errors of the Python module itself, which are mistakes of ours."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _no_room(db: Path) -> bool:
    """Whether the disk is full: SQLite calls it an I/O error where its shared memory does not fit."""
    try:
        return shutil.disk_usage(os.path.realpath(db.parent)).free < _ROOM
    except OSError:
        return False


def _refusal(db: Path, error: sqlite3.Error, timeout: float) -> HistoryError | None:
    kept = "the history is as it was"
    match _code(error):
        case None | sqlite3.SQLITE_MISUSE:
            return None
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            problem = f"{db} is locked: another session is writing, and did not end within {timeout:g} s"
            remedy = "try again when it has ended"
        case sqlite3.SQLITE_NOTADB:
            problem, remedy = f"{db} is not a database", "choose another file with db=…"
        case sqlite3.SQLITE_CORRUPT:
            problem, remedy = f"{db} is damaged: {error}", "restore a copy, or move it away to begin anew"
        case code if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _no_room(db)):
            problem, remedy = f"the disk is full: {db} cannot grow", f"free some space; {kept}"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            problem, remedy = f"{db} cannot be written", "allow it, or choose another file with db=…"
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_AUTH:
            problem, remedy = f"{db} cannot be opened", "allow it, or choose another file with db=…"
        case sqlite3.SQLITE_IOERR:
            problem, remedy = f"{db} cannot be read or written: {error}", f"check the disk; {kept}"
        case sqlite3.SQLITE_CONSTRAINT | sqlite3.SQLITE_TOOBIG | sqlite3.SQLITE_MISMATCH:
            problem, remedy = f"{db} refuses a row: {error}", kept
        case _:
            problem, remedy = f"{db} cannot be used as the history: {error}", "choose another file with db=…"
    return HistoryError(problem, remedy)
