"""Label tables of any program and of each published dataset."""

import bz2
import gzip
import io
import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from bounds import Target
from layers import GZIP, PARQUET

from builder.labels.chexpert import CHEXPERT
from builder.labels.datasets import read_labels
from builder.labels.vindr import VINDR

TABLE = (
    "image,patient,view,sex,age,Mass,Edema\n"
    "a/1.png,007,PA,F,61,1,0\n"
    "a/2.png,008,Lateral,M,40,-1,\n"
    'b/"3".png,"0,9",AP,,1e2,0.0,1\n'
).replace('b/"3".png', '"b/3 ""x"".png"')
PUBLISHED = {
    "chexpert": "Path,Sex,Age,Frontal/Lateral,AP/PA,"
    + ",".join(CHEXPERT)
    + "\nCheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg,Female,68,Frontal,AP,"
    + ",".join(["1.0", "0.0", "-1.0", ""] * 3 + ["1.0", "0.0"])
    + "\n",
    "nih": "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,"
    "View Position\n00000001_000.png,Cardiomegaly|Emphysema,0,1,58,M,PA\n"
    "00000002_000.png,No Finding,0,2,081Y,F,AP\n",
    "padchest": "ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,"
    "PatientSex_DICOM,ViewPosition_DICOM,Projection,MethodLabel,Labels\n"
    "1_a.png,0,20140915,1,p1,1930,F,POSTEROANTERIOR,PA,Physician,\"['nodule', 'cardiomegaly']\"\n",
    "vindr": "image_id,rad_id,"
    + ",".join(VINDR)
    + "\n"
    + "".join(
        f"abc,R{reader}," + ",".join("01" * 20)[: 2 * len(VINDR) - 1] + "\n" for reader in (1, 2)
    ),
    "brax": "PatientID,PngPath,PatientSex,PatientAge,ViewPosition,"
    + ",".join(CHEXPERT)
    + "\n1,Anonymized_PNGs/id_1/1.png,M,85 or more,PA"
    + ",0.0,-1.0" * 7
    + "\n",
    "rsna": "patientId,x,y,width,height,Target\n0004cfab,,,,,0\n00436515,1.0,2.0,3.0,4.0,1\n",
}


@cache
def tables() -> Sequence[bytes]:
    text = TABLE.encode()
    sink, zipped = io.BytesIO(), io.BytesIO()
    pd.read_csv(io.StringIO(TABLE)).to_parquet(sink)
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.csv", text)
    return [
        text,
        b"\xef\xbb\xbf" + TABLE.replace(",", ";").replace("\n", "\r\n").encode(),
        TABLE.encode("utf-16"),
        TABLE.replace("Mass", "Müll").encode("cp1252"),
        b"sep=\t\n" + TABLE.replace(",", "\t").encode(),
        gzip.compress(text),
        bz2.compress(text),
        zipped.getvalue(),
        sink.getvalue(),
        _nested(),
    ]


def _nested() -> bytes:
    """Parquet with lists, and names stored by their ends, as Spark writes them."""
    columns = {
        "image": ["a/1.png", "a/2.png", "a/12.png"],
        "patient": [7, 8, 9],
        "view": [["PA", "AP"], [], None],
        "Mass": [1, 0, None],
    }
    sink = io.BytesIO()
    pq.write_table(
        pa.table(columns),
        sink,
        use_dictionary=["view.list.element"],
        column_encoding={"image": "DELTA_BYTE_ARRAY"},
    )
    return sink.getvalue()


def table(data: bytes, folder: Path) -> None:
    path = folder / "labels.csv"
    path.write_bytes(data)
    read_labels("table", labels=path)


def published_tables() -> Sequence[bytes]:
    """The first line says whose table it is."""
    return [f"{name}\n{text}".encode() for name, text in PUBLISHED.items()]


def published(data: bytes, folder: Path) -> None:
    first, _, rest = data.partition(b"\n")
    names = [*PUBLISHED]
    name = first.decode(errors="replace")
    if name not in names:
        name = names[len(first) % len(names)]
    path = folder / "labels.csv"
    path.write_bytes(rest)
    read_labels(name, labels=path, uncertain="mask")


TARGETS = {
    "table": Target(examples=tables, call=table, layers=(GZIP, PARQUET)),
    "published": Target(examples=published_tables, call=published),
}
