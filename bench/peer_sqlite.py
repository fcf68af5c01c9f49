#!/usr/bin/env python3
"""The peer of the ledger: the same transfers as plain SQL, in SQLite through Python's binding.

    bench/peer_sqlite.py [TRANSFERS]

Accounts are rows with what was debited and credited; a transfer is one inserted row and two
updates, 4,096 to a transaction, with no check at all: no limit, no hold, no chain of hashes. On disk
it is as durable as the ledger (write-ahead log, synchronous=FULL). And, as the disk's own limit, how
often a second 4 KiB can be appended to a file and synced. One JSON line a figure.
"""

import json
import os
import sqlite3
import sys
import tempfile
import time

ACCOUNTS = 1_000
BATCH = 4_096
SYNCS = 200


def figure(name, value, unit):
    print(json.dumps({"name": name, "value": round(value), "unit": unit}))


def transfers(count):
    """The same for every run: id, from, to, amount."""
    for n in range(count):
        source = n * 7919 % ACCOUNTS
        yield n.to_bytes(16, "big"), source, (source + 1 + n * 104729 % (ACCOUNTS - 1)) % ACCOUNTS, 1 + n % 1_000


def rate(path, count):
    """Transfers a second."""
    books = sqlite3.connect(path, isolation_level=None)
    books.executescript(
        """
        PRAGMA journal_mode = WAL;
        PRAGMA synchronous = FULL;
        CREATE TABLE account (id INTEGER PRIMARY KEY, debits INTEGER NOT NULL, credits INTEGER NOT NULL);
        CREATE TABLE transfer (id BLOB PRIMARY KEY, debit INTEGER, credit INTEGER, amount INTEGER) WITHOUT ROWID;
        """
    )
    books.execute("BEGIN")
    books.executemany("INSERT INTO account VALUES (?, 0, 0)", ((n,) for n in range(ACCOUNTS)))
    books.execute("COMMIT")
    rows = list(transfers(count))
    started = time.perf_counter()
    for at in range(0, count, BATCH):
        batch = rows[at : at + BATCH]
        books.execute("BEGIN")
        books.executemany("INSERT INTO transfer VALUES (?, ?, ?, ?)", batch)
        books.executemany("UPDATE account SET debits = debits + ? WHERE id = ?", ((t[3], t[1]) for t in batch))
        books.executemany("UPDATE account SET credits = credits + ? WHERE id = ?", ((t[3], t[2]) for t in batch))
        books.execute("COMMIT")
    seconds = time.perf_counter() - started
    debits, credits = books.execute("SELECT sum(debits), sum(credits) FROM account").fetchone()
    assert debits == credits == sum(t[3] for t in rows), "the peer lost money"
    books.close()
    return count / seconds


def syncs(folder):
    """Appends of 4 KiB a second, each synced."""
    with open(os.path.join(folder, "appended"), "wb", buffering=0) as file:
        started = time.perf_counter()
        for _ in range(SYNCS):
            file.write(bytes(4096))
            getattr(os, "fdatasync", os.fsync)(file.fileno())
        return SYNCS / (time.perf_counter() - started)


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    with tempfile.TemporaryDirectory(prefix="machina-bench-") as folder:
        figure("peer.sqlite.in_memory", rate(":memory:", count), "1/s")
        figure("peer.sqlite.durable", rate(os.path.join(folder, "books.sqlite"), count), "1/s")
        figure("limit.disk.syncs", syncs(folder), "1/s")


if __name__ == "__main__":
    main()
