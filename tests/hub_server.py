"""A hub on this machine: the HTTP API as huggingface_hub calls it, repositories in memory, faults on request.

Big files are sent by a second server, as the hub's are by another host, which must never see a token.
"""

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "hf_this_is_the_secret_of_the_tests"
Files = dict[str, bytes]


@dataclass
class Repository:
    """Commits in order, {path: content} each; `branches` name their numbers."""

    private: bool = False
    gated: bool = False
    commits: list[Files] = field(default_factory=lambda: [{}])
    branches: dict[str, int] = field(default_factory=lambda: {"main": 0})
    messages: list[str] = field(default_factory=list)

    def sha(self, number: int) -> str:
        return hashlib.sha1(f"{number} {sorted(self.commits[number])} {id(self)}".encode()).hexdigest()

    def find(self, revision: str) -> int | None:
        shas = {self.sha(number): number for number in range(len(self.commits))}
        return self.branches.get(revision, shas.get(revision))

    def add(self, files: Files, branch: str = "main") -> str:
        self.commits.append({**self.commits[self.branches[branch]], **files})
        self.branches[branch] = len(self.commits) - 1
        return self.sha(self.branches[branch])


class Hub:
    """`asked` lists (method, path, whether the token came along); `faults` maps a part of a path to what is answered:
    a status with headers, or "cut" (half of the bytes), "damage" (other bytes), "page" (no hub at all)."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.asked: list[tuple[str, str, bool]] = []
        self.faults: dict[str, Any] = {}
        self.servers = [_serving(self, main) for main in (True, False)]
        self.address, self.storage = (f"http://127.0.0.1:{server.server_port}" for server in self.servers)

    def put(self, repository: str, files: Files, **about: Any) -> str:
        """Return the new commit of a repository, made where there is none, that has these files too."""
        repo = self.repositories.setdefault(repository, Repository(**about))
        for content in files.values():
            self.objects[hashlib.sha256(content).hexdigest()] = content
        return repo.add(files)

    def files(self, repository: str) -> Files:
        repo = self.repositories[repository]
        return repo.commits[repo.branches["main"]]

    def close(self) -> None:
        for server in self.servers:
            server.shutdown()
            server.server_close()


def is_big(path: str) -> bool:
    return path.endswith((".safetensors", ".bin"))


def _serving(hub: Hub, main: bool) -> ThreadingHTTPServer:
    class Handler(_Handler):
        pass

    Handler.hub, Handler.main = hub, main
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return server


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    main: bool
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        self._handle()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815 (as the library has it)

    def _handle(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.place = unquote(urlsplit(self.path).path)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        self.hub.asked.append((self.command, self.place, bool(token)))
        fault = next((fault for part, fault in self.hub.faults.items() if part in f"{self.command} {self.place}"), None)
        if isinstance(fault, tuple):
            self.answer(fault[0], {"error": "as asked"}, **fault[1])
        elif fault == "page":
            self.send(200, b"<html>welcome to this network</html>", Content_Type="text/html")
        elif token not in ("", TOKEN):
            self.error(401, None, "Invalid credentials in Authorization header")
        elif not self.main:
            self.storage(fault)
        else:
            self.route(bool(token))

    def route(self, known: bool) -> None:
        rules = {
            r"GET /api/models/([^/]+/[^/]+)(?:/revision/(.+))?": self.info,
            r"(?:GET|HEAD) /([^/]+/[^/]+)/resolve/(.+?)/([^/]+(?:/[^/]+)*)": self.resolve,
            r"POST /api/repos/create": self.create,
            r"POST /api/validate-yaml": self.validate,
            r"POST /api/models/([^/]+/[^/]+)/preupload/(.+)": self.preupload,
            r"POST /([^/]+/[^/]+)\.git/info/lfs/objects/batch": self.batch,
            r"POST /api/models/([^/]+/[^/]+)/commit/(.+)": self.commit,
        }
        for rule, answer in rules.items():
            match = re.fullmatch(rule, f"{self.command} {self.place}")
            if match:
                if match.groups() and not self.allowed(match[1], known):
                    return
                answer(*match.groups())
                return
        self.error(404, None, "no such route")

    def allowed(self, repository: str, known: bool) -> bool:
        repo = self.hub.repositories.get(repository)
        if repo is None or (repo.private and not known):
            self.error(404 if known else 401, "RepoNotFound", "Repository not found")
        elif repo.gated and "resolve" in self.place:
            self.error(403, "GatedRepo", "Access to this model is restricted")
        elif self.command == "POST" and not known:
            self.error(401, None, "log in first")
        else:
            return True
        return False

    def found(self, repository: str, revision: str | None) -> int | None:
        number = self.hub.repositories[repository].find(revision or "main")
        if number is None:
            self.error(404, "RevisionNotFound", "Invalid rev id")
        return number

    def info(self, repository: str, revision: str | None) -> None:
        number, repo = self.found(repository, revision), self.hub.repositories[repository]
        if number is not None:
            siblings = [{"rfilename": name} for name in sorted(repo.commits[number])]
            about = {"id": repository, "modelId": repository, "private": repo.private, "tags": [], "downloads": 0}
            self.answer(200, {**about, "sha": repo.sha(number), "siblings": siblings})

    def resolve(self, repository: str, revision: str, path: str) -> None:
        number, repo = self.found(repository, revision), self.hub.repositories[repository]
        if number is None:
            return
        content, commit = repo.commits[number].get(path), {"X_Repo_Commit": repo.sha(number)}
        if content is None:
            self.error(404, "EntryNotFound", "Entry not found", **commit)
        elif is_big(path):
            digest = hashlib.sha256(content).hexdigest()
            linked = {"X_Linked_Etag": f'"{digest}"', "X_Linked_Size": len(content)}
            self.send(302, b"", Location=f"{self.hub.storage}/{digest}", **linked, **commit)
        else:
            etag = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            self.send(200, content, ETag=f'"{etag}"', **commit)

    def storage(self, fault: str | None) -> None:
        digest = self.place.removeprefix("/")
        if self.command == "PUT":
            assert hashlib.sha256(self.body).hexdigest() == digest
            self.hub.objects[digest] = self.body
            self.send(200, b"")
            return
        content = self.hub.objects[digest]
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if fault == "damage":
            content = content[:-1] + bytes([content[-1] ^ 1])
        whole, part = len(content), content[start:]
        if fault == "cut":  # once: the rest is asked for, and comes
            del self.hub.faults[next(part for part, kind in self.hub.faults.items() if kind == "cut")]
            part, self.close_connection = part[: len(part) // 2], True
        ranged = {"Content_Range": f"bytes {start}-{whole - 1}/{whole}"} if start else {}
        self.send(206 if start else 200, part, length=whole - start, ETag=f'"{digest}"', **ranged)

    def create(self) -> None:
        asked = json.loads(self.body)
        name = f"{asked['organization']}/{asked['name']}"
        if not self.headers.get("Authorization"):
            self.error(401, None, "log in first")
        elif name in self.hub.repositories:
            self.answer(409, {"error": "You already created this model repo", "url": f"{self.hub.address}/{name}"})
        else:
            private = asked.get("visibility") == "private" or bool(asked.get("private"))
            self.hub.repositories[name] = Repository(private)
            self.answer(200, {"url": f"{self.hub.address}/{name}"})

    def validate(self) -> None:
        content = json.loads(self.body)["content"]
        front = yaml.safe_load(re.fullmatch(r"---\n(.*?)\n---\n.*", content, re.DOTALL)[1])
        wrong = [] if isinstance(front, dict) and front.get("license") else [{"message": "license is missing"}]
        self.answer(400 if wrong else 200, {"errors": wrong, "warnings": []})

    def preupload(self, repository: str, revision: str) -> None:
        number = self.found(repository, revision)
        if number is None:
            return
        there = self.hub.repositories[repository].commits[number]
        self.answer(200, {"files": [self._mode(one["path"], there.get(one["path"])) for one in self._asked("files")]})

    def _asked(self, what: str) -> list[dict[str, Any]]:
        return json.loads(self.body)[what]

    @staticmethod
    def _mode(path: str, held: bytes | None) -> dict[str, Any]:
        mode = {"path": path, "uploadMode": "lfs" if is_big(path) else "regular", "shouldIgnore": False}
        if held is None:
            return mode
        git = hashlib.sha1(b"blob %d\0" % len(held) + held).hexdigest()
        return {**mode, "oid": hashlib.sha256(held).hexdigest() if is_big(path) else git}

    def batch(self, repository: str) -> None:
        objects = []
        for one in self._asked("objects"):
            upload = {"upload": {"href": f"{self.hub.storage}/{one['oid']}"}}
            objects.append({**one, **({} if one["oid"] in self.hub.objects else {"actions": upload})})
        self.answer(200, {"transfer": "basic", "objects": objects})

    def commit(self, repository: str, revision: str) -> None:
        files: Files = {}
        lines = [json.loads(line) for line in self.body.splitlines()]
        repo = self.hub.repositories[repository]
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                repo.messages.append(value["summary"])
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
        sha = repo.add(files, revision)
        where = f"{self.hub.address}/{repository}/commit/{sha}"
        self.answer(200, {"success": True, "commitUrl": where, "commitOid": sha, "hookOutput": ""})

    def error(self, status: int, code: str | None, message: str, **headers: object) -> None:
        more = {"X_Error_Code": code} if code else {}
        self.answer(status, {"error": message}, X_Error_Message=message, **more, **headers)

    def answer(self, status: int, content: object, **headers: object) -> None:
        self.send(status, json.dumps(content).encode(), Content_Type="application/json", **headers)

    def send(self, status: int, content: bytes, length: int | None = None, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
