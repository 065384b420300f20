import io
import tarfile
from pathlib import Path

import pytest

from builder.contract import CheckError, tar

GOOD = [("real-1.jpg", b"x" * 700), ("real-1.json", b"{}"), ("b-2.jpg", b"y"), ("b-2.json", b"[]")]


def pack(path: Path, members: list[tuple[str, bytes]], end: bytes = tar.END) -> Path:
    body = b"".join(
        tar.header(name, len(data)) + data + tar.padding(len(data)) for name, data in members
    )
    path.write_bytes(body + end)
    return path


def walk(path: Path) -> list[tar.Member]:
    return list(tar.walk(path, "jpg", 10_000))


def test_what_is_written_is_what_tarfile_reads_and_would_write(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.tar", GOOD)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as reference:
        for name, data in GOOD:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            reference.addfile(info, io.BytesIO(data))
    assert buffer.getvalue().startswith(path.read_bytes()), "the same up to the longer zero tail"
    with tarfile.open(path) as opened:
        assert [(m.name, opened.extractfile(m).read()) for m in opened] == GOOD  # type: ignore[union-attr]


def test_walk_gives_samples_with_offsets(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.tar", GOOD)
    members = walk(path)
    assert [(m.key, m.json) for m in members] == [("real-1", b"{}"), ("b-2", b"[]")]
    data = path.read_bytes()
    for member in members:
        assert data[member.offset : member.offset + len(member.image)] == member.image


def test_the_idx_points_at_both_members(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.tar", GOOD)
    data, member = path.read_bytes(), walk(path)[0]
    line = tar.idx_line("real-1", "jpg", member.offset, len(member.image), len(member.json))
    words = line.split()
    for extension, offset, size, name in (words[:4], words[4:]):
        content = data[int(offset) : int(offset) + int(size)]
        assert (f"real-1.{extension}", content) in [(name, dict(GOOD)[name])]
    assert tar.idx_text([line]).decode() == f"v1.2 1\n{line}\n"


def link(name: str) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return info.tobuf(tarfile.USTAR_FORMAT)


def stamped(name: str, data: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mtime = len(data), 1_700_000_000
    return info.tobuf(tarfile.USTAR_FORMAT) + data + tar.padding(len(data))


BAD = {
    "third member": ([*GOOD, ("b-2.txt", b"!")], "holds 'b-2.txt' where KEY.jpg"),
    "image alone": (GOOD[:1], "unreadable member header"),
    "other key": ([("a.jpg", b"x"), ("b.json", b"{}")], "has b.json after a.jpg"),
    "path as key": ([("../../etc/evil.jpg", b"x"), ("../../etc/evil.json", b"{}")], "where KEY"),
    "dot in key": ([("a.b.jpg", b"x"), ("a.b.json", b"{}")], "where KEY"),
    "oversized": ([("a.jpg", b"x" * 10_001), ("a.json", b"{}")], "at most 10000"),
    "empty image": ([("a.jpg", b""), ("a.json", b"{}")], "has 0 bytes"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_belong_is_refused(tmp_path: Path, case: str) -> None:
    members, message = BAD[case]
    with pytest.raises(CheckError, match=message):
        walk(pack(tmp_path / "a.tar", members))


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    whole = pack(tmp_path / "a.tar", GOOD).read_bytes()
    for length in range(0, len(whole), 128):
        cut = tmp_path / "cut.tar"
        cut.write_bytes(whole[:length])
        with pytest.raises(CheckError):
            walk(cut)


def test_bytes_after_the_end_are_noticed(tmp_path: Path) -> None:
    with pytest.raises(CheckError, match="does not end"):
        walk(pack(tmp_path / "a.tar", GOOD, end=tar.END + b"more"))


def test_links_and_foreign_headers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(link("a.jpg") + tar.END)
    with pytest.raises(CheckError, match="0 bytes"):
        walk(path)
    path.write_bytes(stamped("a.jpg", b"x") + stamped("a.json", b"{}") + tar.END)
    with pytest.raises(CheckError, match="fixed owner, mode and time"):
        walk(path)
    path.write_bytes(b"not a tar at all".ljust(2048, b"."))
    with pytest.raises(CheckError, match="not a shard"):
        walk(path)


def member(json: bytes) -> tar.Member:
    return tar.Member(key="a-1", offset=512, image=b"x", json=json)


def test_a_json_member_says_what_was_asked() -> None:
    asked = member(b'{"key":"a-1","target":"Mass","draw":7,"labels":{"Mass":1,"Gout":-1}}')
    assert (asked.drawn(), asked.labels()) == (("Mass", 7), (1, -1))


@pytest.mark.parametrize(
    "json",
    [b"", b"[]", b"{}", b"[" * 60_000, b'{"target":1,"draw":0,"labels":{}}', b"\xff"]
    + [b'{"target":"","draw":0,"labels":%b}' % labels for labels in (b"[1]", b'{"Mass":300}')],
)
def test_a_json_member_that_is_none_is_refused(json: bytes) -> None:
    for ask in (member(json).drawn, member(json).labels):
        with pytest.raises(CheckError, match=r"The member a-1\.json is "):
            ask()
