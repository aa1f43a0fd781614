"""Catalogs of Iceberg tables with a writer of the test's own: the least that a reader of metadata needs, in folders, SQL and REST."""
import contextlib
import http.server
import json
import os
import sqlite3
import threading
import time
import urllib.parse
import uuid

from engine_servers import Postgres


class Tables:
    """Tables in a folder: location → what its metadata says. A commit writes a manifest list and then the metadata by rename."""

    def __init__(self, folder):
        self.folder = folder
        self.states = {}

    def location(self, name):
        return os.path.join(self.folder, *name.split("."))

    def write(self, name, file_name):
        state = self.states[name]
        metadata = os.path.join(state["location"], "metadata")
        os.makedirs(metadata, exist_ok=True)
        path = os.path.join(metadata, file_name)
        with open(path + ".tmp", "w") as file:
            json.dump(state, file)
        os.rename(path + ".tmp", path)
        return path

    def create(self, name):
        self.states[name] = {
            "format-version": 2, "table-uuid": str(uuid.uuid4()), "location": self.location(name), "last-sequence-number": 0,
            "last-updated-ms": int(time.time() * 1000), "last-column-id": 1, "current-schema-id": 0,
            "schemas": [{"type": "struct", "schema-id": 0, "fields": [{"id": 1, "name": "id", "required": False, "type": "long"}]}],
            "default-spec-id": 0, "partition-specs": [{"spec-id": 0, "fields": []}], "properties": {}, "snapshots": []}
        return self.write(name, f"00000-{uuid.uuid4()}.metadata.json")

    def add_snapshot(self, name):
        state = self.states[name]
        number = len(state["snapshots"]) + 1
        # Above 2^53: a reader that takes it for a double is found out.
        snapshot_id = (1 << 60) + number
        path = os.path.join(state["location"], "metadata", f"snap-{snapshot_id}.avro")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(b"manifest list" * number)
        state["snapshots"].append({"snapshot-id": snapshot_id, "sequence-number": number, "timestamp-ms": int(time.time() * 1000),
                                   "manifest-list": path, "summary": {"operation": "append"}})
        state.update({"current-snapshot-id": snapshot_id, "last-sequence-number": number, "last-updated-ms": int(time.time() * 1000)})
        return number

    def commit(self, name):
        number = self.add_snapshot(name)
        return self.write(name, f"{number:05d}-{uuid.uuid4()}.metadata.json")

    def drop(self, name):
        state = self.states.pop(name)
        for folder, _, files in os.walk(state["location"], topdown=False):
            for file in files:
                os.remove(os.path.join(folder, file))
            os.rmdir(folder)

    def snapshots(self, name):
        return len(self.states[name]["snapshots"])

    def uuid(self, name):
        return self.states[name]["table-uuid"]


class FolderWorld(Tables):
    def __init__(self, folder):
        super().__init__(os.path.join(folder, "warehouse"))
        os.makedirs(os.path.join(self.folder, "db"))
        self.config = {"name": "c", "type": "folder", "path": self.folder}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def stop(self):
        os.rename(self.folder, self.folder + ".away")

    def start(self):
        os.rename(self.folder + ".away", self.folder)


SQL_TABLE = """CREATE TABLE iceberg_tables (catalog_name VARCHAR(255) NOT NULL, table_namespace VARCHAR(255) NOT NULL,
    table_name VARCHAR(255) NOT NULL, metadata_location VARCHAR(1000), previous_metadata_location VARCHAR(1000),
    PRIMARY KEY (catalog_name, table_namespace, table_name))"""


class SqlWorld(Tables):
    """Rows beside the tables; `sql` is the writer's side."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def set(self, name, path):
        space, _, table = name.rpartition(".")
        self.sql(f"DELETE FROM iceberg_tables WHERE table_namespace = '{space}' AND table_name = '{table}'")
        if path:
            self.sql(f"INSERT INTO iceberg_tables VALUES ('main', '{space}', '{table}', 'file://{path}', NULL)")

    def create(self, name):
        self.set(name, super().create(name))

    def commit(self, name):
        self.set(name, super().commit(name))

    def drop(self, name):
        self.set(name, None)
        super().drop(name)


class SqliteWorld(SqlWorld):
    def __init__(self, folder):
        super().__init__(os.path.join(folder, "warehouse"))
        self.file = os.path.join(folder, "catalog.db")
        self.sql(SQL_TABLE)
        self.config = {"name": "c", "type": "sql", "uri": f"sqlite:///{self.file}", "timeout": "2s"}

    def sql(self, text):
        with contextlib.closing(sqlite3.connect(self.file)) as database, database:
            database.execute(text)

    def stop(self):
        os.rename(self.file, self.file + ".away")

    def start(self):
        os.rename(self.file + ".away", self.file)


class PostgresWorld(SqlWorld):
    def __init__(self, folder):
        super().__init__(os.path.join(folder, "warehouse"))
        self.server = Postgres()
        self.server.sql("CREATE ROLE reader LOGIN PASSWORD 'reader-secret'")
        self.server.sql("CREATE ROLE stranger LOGIN PASSWORD 'reader-secret'")
        self.server.sql(SQL_TABLE)
        self.server.sql("GRANT SELECT ON iceberg_tables TO reader")
        password = os.path.join(folder, "password")
        with open(password, "w") as file:
            file.write("reader-secret\n")
        self.config = {"name": "c", "type": "sql", "uri": f"postgresql://reader@{self.server.address}/postgres", "timeout": "2s",
                       "password_file": password}

    def __exit__(self, *_):
        self.server.__exit__()

    def sql(self, text):
        self.server.sql(text)

    def stop(self):
        self.server.stop()

    def start(self):
        self.server.start()


class RestWorld(Tables):
    """A REST catalog that can be told to misbehave: `canned` answers replace the next ones, oldest first."""

    def __init__(self, folder, etags=True, page=2, prefix="", separator="\x1f", nested=True):
        super().__init__(os.path.join(folder, "warehouse"))
        self.etags, self.page, self.prefix, self.separator, self.nested = etags, page, prefix, separator, nested
        self.spaces = {("db",)}
        self.locations = {}
        self.token = None  # what a client must show; None: nothing
        self.secret = "id:s3cret&="
        self.tokens = 0
        self.lifetime_s = 3600
        self.canned = []
        self.log = []
        self.server = None
        self.port = 0
        self.start()
        self.config = {"name": "c", "type": "rest", "url": f"http://127.0.0.1:{self.port}", "timeout": "2s"}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        world = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_):
                pass

            def do_GET(self):
                world.answer(self)

            do_POST = do_GET

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def __init__(self, *arguments):
                self.open = set()
                super().__init__(*arguments)

            def process_request(self, request, address):
                self.open.add(request)
                super().process_request(request, address)

        self.server = Server(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self):
        if self.server is None:
            return
        self.server.shutdown()
        self.server.server_close()
        for connection in self.server.open:
            with contextlib.suppress(OSError):
                connection.shutdown(2)
        self.server = None

    def create(self, name):
        self.locations[name] = super().create(name)
        self.spaces.add(tuple(name.split(".")[:-1]))

    def commit(self, name):
        self.locations[name] = super().commit(name)

    def drop(self, name):
        del self.locations[name]
        super().drop(name)

    def answer(self, handler):
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0)).decode()
        url = urllib.parse.urlsplit(handler.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        self.log.append((handler.command, handler.path, dict(handler.headers), body))
        status, headers, text = self.canned.pop(0) if self.canned else self.reply(url.path, query, handler.headers, body)
        data = text.encode() if isinstance(text, str) else json.dumps(text).encode()
        handler.send_response(status)
        if status == 304:
            data = b""
        else:
            handler.send_header("Content-Length", str(len(data)))
        for key, value in headers.items():
            handler.send_header(key, value)
        handler.end_headers()
        handler.wfile.write(data)

    @staticmethod
    def error(status, kind, message="as the test wants it"):
        return status, {}, {"error": {"message": message, "type": kind, "code": status}}

    def reply(self, path, query, headers, body):
        if path == "/v1/oauth/tokens":
            form = dict(urllib.parse.parse_qsl(body))
            if f"{form.get('client_id')}:{form.get('client_secret')}" != self.secret or form.get("grant_type") != "client_credentials":
                return 401, {}, {"error": "invalid_client", "error_description": f"{form.get('client_secret')} is wrong"}
            self.tokens += 1
            self.token = f"token-{self.tokens}"
            return 200, {}, {"access_token": self.token, "token_type": "bearer", "expires_in": self.lifetime_s}
        if self.token is not None and headers.get("Authorization") != f"Bearer {self.token}":
            return self.error(401, "NotAuthorizedException")
        if path == "/v1/config":
            if query.get("warehouse") == "missing":
                return self.error(404, "NoSuchWarehouseException")
            overrides = {"prefix": self.prefix} if self.prefix else {}
            if self.separator != "\x1f":
                overrides["namespace-separator"] = urllib.parse.quote(self.separator, safe="")
            return 200, {}, {"defaults": {"prefix": "wrong"} if self.prefix else {}, "overrides": overrides}
        start = "/v1/" + (urllib.parse.quote(self.prefix) + "/" if self.prefix else "")
        assert path.startswith(start), path
        parts = [urllib.parse.unquote(part) for part in path.removeprefix(start).split("/")]
        if parts == ["namespaces"]:
            parent = tuple(query["parent"].split(self.separator)) if "parent" in query else ()
            if parent and not self.nested:
                return self.error(400, "BadRequestException")
            children = sorted({space[:len(parent) + 1] for space in self.spaces if space[:len(parent)] == parent and len(space) > len(parent)})
            return self.paged("namespaces", [list(child) for child in children], query)
        space = tuple(parts[1].split(self.separator))
        if len(parts) == 3:
            if not any(known[:len(space)] == space for known in self.spaces):
                return self.error(404, "NoSuchNamespaceException")
            names = sorted(name for name in self.locations if tuple(name.split(".")[:-1]) == space)
            return self.paged("identifiers", [{"namespace": list(space), "name": name.split(".")[-1]} for name in names], query)
        name = ".".join((*space, parts[3]))
        if name not in self.locations:
            return self.error(404, "NoSuchTableException")
        etag = f'"{hash(self.locations[name])}"'
        if self.etags and headers.get("If-None-Match") == etag:
            return 304, {"ETag": etag}, ""
        answer = {"metadata-location": self.locations[name], "metadata": self.states[name], "config": {}}
        return 200, {"ETag": etag} if self.etags else {}, answer

    def paged(self, key, items, query):
        if "pageToken" not in query:
            return 200, {}, {key: items}
        first = int(query["pageToken"] or 0)
        more = first + self.page < len(items)
        return 200, {}, {key: items[first:first + self.page], "next-page-token": str(first + self.page) if more else None}
