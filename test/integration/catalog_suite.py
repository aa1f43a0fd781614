"""What every catalog must show through its port, whatever it is; and the program that shows it.

A World is a catalog with its writer: `create`, `commit` and `drop` tables (by name, "db.table"), `stop` and `start` what serves it;
`config` is its part of our configuration. Its tables are named in a namespace that exists.
"""
import json
import os
import subprocess
import threading

from lab_fixture import SIGNALBOX, wait_for

TOOL = os.environ.get("SIGNALBOX_CATALOG_TOOL") or os.path.join(os.path.dirname(SIGNALBOX), "test/catalog_tool")


class Tool:
    """catalog_tool over a configuration; a context manager."""

    def __init__(self, folder, *catalogs, **environment):
        self.file = os.path.join(folder, "catalogs.yaml")
        with open(self.file, "w") as file:
            file.write(json.dumps({"catalogs": list(catalogs)}))
        self.process = subprocess.Popen([TOOL, self.file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        bufsize=1, env=dict(os.environ, **environment))
        self.lock = threading.Lock()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def ask(self, what, catalog="c", **more):
        with self.lock:
            try:
                self.process.stdin.write(json.dumps({"do": what, "catalog": catalog, **more}) + "\n")
                self.process.stdin.flush()
            except BrokenPipeError:
                pass
            line = self.process.stdout.readline()
        assert line, f"catalog_tool ended: {self.process.stderr.read()}"
        return json.loads(line)

    def names(self, catalog="c"):
        answer = self.ask("list", catalog)
        assert "error" not in answer, answer
        return [table["name"] for table in answer["tables"]]

    def look(self, table, known=None, catalog="c"):
        return self.ask("look", catalog, table=table, known=known or {})

    def load(self, table, catalog="c"):
        return self.ask("load", catalog, table=table)


def check_lists_what_there_is(world, tool):
    assert tool.names() == []
    world.create("db.a")
    world.create("db.b")
    assert tool.names() == ["db.a", "db.b"]
    world.drop("db.a")
    assert tool.names() == ["db.b"]


def check_a_commit_is_a_change_and_its_absence_is_none(world, tool):
    world.create("db.t")
    first = tool.look("db.t")
    assert not first.get("unchanged") and first["metadata_location"], first
    again = tool.look("db.t", first)
    assert again["unchanged"] and again["metadata_location"] == first["metadata_location"], again
    world.commit("db.t")
    second = tool.look("db.t", first)
    assert not second["unchanged"] and second["metadata_location"] != first["metadata_location"], second
    assert tool.look("db.t", second)["unchanged"]
    # Only the latest of several is seen; what lies between is in the metadata.
    world.commit("db.t")
    world.commit("db.t")
    third = tool.look("db.t", second)
    assert not third["unchanged"] and tool.look("db.t", third)["unchanged"]


def check_a_table_is_loaded_down_to_its_manifest_list(world, tool):
    world.create("db.t")
    for _ in range(3):
        world.commit("db.t")
    loaded = tool.load("db.t")
    assert "error" not in loaded, loaded
    assert (loaded["snapshots"], loaded["uuid"]) == (world.snapshots("db.t"), world.uuid("db.t"))
    assert loaded["manifest_list_bytes"] == loaded["files_bytes"] > 0 and loaded["files_requests"] == 1


def check_only_a_table_that_is_gone_is_not_found(world, tool):
    world.create("db.t")
    known = tool.look("db.t")
    assert tool.look("db.never")["error"] == "not found"
    assert tool.look("nowhere.t")["error"] == "not found"
    assert tool.look("plain")["error"] == "not found"
    world.stop()
    try:
        for answer in (tool.look("db.t", known), tool.look("db.never"), tool.ask("list")):
            assert answer["error"] in ("unavailable", "timeout"), answer
    finally:
        world.start()
    wait_for(lambda: tool.look("db.t", known).get("unchanged"), 20, "the catalog answers again")
    world.drop("db.t")
    assert tool.look("db.t", known)["error"] == "not found"
    # One of the same name after it is another table.
    world.create("db.t")
    assert not tool.look("db.t", known).get("unchanged", True)


def check_many_looks_at_once(world, tool):
    world.create("db.t")
    location = tool.look("db.t")["metadata_location"]
    assert tool.ask("looks", table="db.t", threads=16, each=20)["seen"] == {location: 320}


def check_what_was_asked_is_counted(world, tool):
    world.create("db.t")
    first = tool.look("db.t")
    before = tool.look("db.t", first)
    world.commit("db.t")
    after = tool.load("db.t")
    assert 0 < before["requests"] < after["requests"] and before["bytes"] < after["bytes"], (before, after)


CHECKS = [check_lists_what_there_is, check_a_commit_is_a_change_and_its_absence_is_none, check_a_table_is_loaded_down_to_its_manifest_list,
          check_only_a_table_that_is_gone_is_not_found, check_many_looks_at_once, check_what_was_asked_is_counted]
