"""Judges a history of clients (client.cpp) against what the cluster holds at the end and the follower's own journal."""

import bisect
import collections
import json


def load(path):
    """The operations, and the rows that were seen in members' tables: {id: [member, …]}."""
    operations, seen = [], collections.defaultdict(set)
    with open(path) as file:
        for line in file:
            entry = json.loads(line)
            if entry["op"] == "seen":
                for row in entry["ids"]:
                    seen[row].add(entry["member"])
            else:
                operations.append(entry)
    return operations, seen


class Verdict:
    def __init__(self):
        self.violations = []
        self.counts = collections.Counter()

    def violate(self, kind, text):
        self.counts[kind] += 1
        if len(self.violations) < 20:
            self.violations.append(f"{kind}: {text}")


def check_set(operations, rows, seen, verdict):
    """Acknowledged rows are there once; refused ones are not; what was seen and is gone was never acknowledged."""
    there = collections.Counter(row["id"] for row in rows)
    outcome = {}
    for entry in operations:
        if entry["op"] != "set":
            continue
        outcome[entry["id"]] = entry["outcome"]
        verdict.counts["set-" + entry["outcome"]] += 1
        count = there.get(entry["id"], 0)
        if entry["outcome"] == "ok" and count == 0:
            verdict.violate("lost", f"{entry}")
        if entry["outcome"] == "failed" and count:
            verdict.violate("refused-and-there", f"{entry}")
        if count > 1:
            verdict.violate("twice", f"{entry} is there {count} times")
        if entry["outcome"] == "unknown":
            verdict.counts["unknown-happened" if count else "unknown-did-not-happen"] += 1
    for row, members in seen.items():
        if row in there:
            continue
        verdict.counts["rolled-back"] += 1
        if outcome.get(row) == "ok":
            verdict.violate("acknowledged-and-rolled-back", f"{row}, seen on {sorted(members)}")
    for row in there:
        if row not in outcome:
            verdict.violate("invented", f"row {row} was never sent")


def check_lists(operations, lists, verdict):
    """Each acknowledged append is in its list once, and every read is a prefix of the list at the end."""
    for entry in operations:
        if entry["op"] != "append":
            continue
        verdict.counts["append-" + entry["outcome"]] += 1
        items = lists.get(entry["key"], [])
        count = items.count(str(entry["id"]))
        if entry["outcome"] == "ok" and count == 0:
            verdict.violate("lost", f"append {entry}")
        if entry["outcome"] == "failed" and count:
            verdict.violate("refused-and-there", f"append {entry}")
        if count > 1:
            verdict.violate("twice", f"append {entry} is there {count} times")
        # What a transaction read was committed; only one that committed itself proves that it may rely on it.
        if entry["outcome"] != "ok" or "read_size" not in entry:
            continue
        size = entry["read_size"]
        if size > len(items) or (size and items[size - 1] != entry["read_last"]):
            verdict.violate("not-a-prefix", f"append {entry}; the list holds {items[max(0, size - 2):size + 2]} there")
        elif size < len(items) and items[size] != str(entry["id"]):
            verdict.violate("not-a-prefix", f"append {entry} was not put where it read the end")


class Epochs:
    """Whose epoch was in force when: [(seconds, member)], by the time at which each was stored as active."""

    def __init__(self, active):
        self.active = sorted(active)
        self.times = [at for at, _ in self.active]

    def writer_at(self, at):
        index = bisect.bisect_right(self.times, at) - 1
        return self.active[index][1] if index >= 0 else None


def check_epochs(rows, operations, epochs, member_of, verdict, slack=0.0):
    """Every row was written on the member whose epoch was in force at its server's own time of the write."""
    for row in rows:
        member = member_of[row["server"]]
        if epochs.writer_at(row["at"]) != member and epochs.writer_at(row["at"] - slack) != member:
            verdict.violate("former-writer", f"{row} on {member} while {epochs.writer_at(row['at'])} was the writer")
    for entry in operations:
        if entry["outcome"] != "ok" or "server" not in entry:
            continue
        member = member_of[entry["server"]]
        allowed = {epochs.writer_at(entry["sent"]), epochs.writer_at(entry["done"])}
        if member not in allowed:
            verdict.violate("former-writer", f"{entry} on {member}, allowed {allowed}")
