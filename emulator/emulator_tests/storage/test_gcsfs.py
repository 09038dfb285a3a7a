"""gcsfs and pandas: https://gcsfs.readthedocs.io"""

from __future__ import annotations

import os

import gcsfs
import pandas as pd
import pytest
from google.cloud import storage


@pytest.fixture
def fs(bucket: storage.Bucket) -> gcsfs.GCSFileSystem:
    gcsfs.GCSFileSystem.clear_instance_cache()
    return gcsfs.GCSFileSystem(project="emulated-project", token="anon")


def test_write_read_and_list(fs: gcsfs.GCSFileSystem, bucket: storage.Bucket) -> None:
    fs.pipe(f"{bucket.name}/folder/a.txt", b"text")
    assert fs.cat(f"{bucket.name}/folder/a.txt") == b"text"
    assert fs.ls(f"{bucket.name}/folder") == [f"{bucket.name}/folder/a.txt"]
    assert fs.info(f"{bucket.name}/folder/a.txt")["size"] == 4
    assert fs.exists(f"{bucket.name}/folder/a.txt")
    assert fs.isdir(f"{bucket.name}/folder")


def test_large_file_in_blocks(fs: gcsfs.GCSFileSystem, bucket: storage.Bucket) -> None:
    data = os.urandom(1024) * 6 * 1024
    with fs.open(f"{bucket.name}/large", "wb", block_size=2**18) as file:
        file.write(data)
    assert bucket.blob("large").download_as_bytes() == data
    with fs.open(f"{bucket.name}/large", "rb", block_size=2**20) as file:
        file.seek(1_000_000)
        assert file.read(10) == data[1_000_000:1_000_010]


def test_copy_move_and_remove(fs: gcsfs.GCSFileSystem, bucket: storage.Bucket) -> None:
    fs.pipe(f"{bucket.name}/a", b"a")
    fs.cp_file(f"{bucket.name}/a", f"{bucket.name}/b")
    fs.mv(f"{bucket.name}/b", f"{bucket.name}/c")
    assert sorted(fs.ls(bucket.name)) == [f"{bucket.name}/a", f"{bucket.name}/c"]
    fs.rm(f"{bucket.name}/a")
    fs.invalidate_cache()
    assert fs.ls(bucket.name) == [f"{bucket.name}/c"]


def test_exclusive_creation(fs: gcsfs.GCSFileSystem, bucket: storage.Bucket) -> None:
    with fs.open(f"{bucket.name}/once", "xb") as file:
        file.write(b"1")
    with pytest.raises(FileExistsError), fs.open(f"{bucket.name}/once", "xb") as file:
        file.write(b"2")
    assert fs.cat(f"{bucket.name}/once") == b"1"


def test_glob_find_and_delete_folder(fs: gcsfs.GCSFileSystem, bucket: storage.Bucket) -> None:
    for name in ("x/1.csv", "x/2.csv", "x/y/3.csv"):
        fs.pipe(f"{bucket.name}/{name}", b"")
    assert fs.glob(f"{bucket.name}/x/*.csv") == [f"{bucket.name}/x/{n}.csv" for n in (1, 2)]
    assert len(fs.find(f"{bucket.name}/x")) == 3
    fs.rm(f"{bucket.name}/x", recursive=True)
    assert list(bucket.list_blobs()) == []


def test_buckets(fs: gcsfs.GCSFileSystem, bucket: storage.Bucket) -> None:
    fs.mkdir(f"{bucket.name}-made")
    assert fs.exists(f"{bucket.name}-made")
    fs.rmdir(f"{bucket.name}-made")
    fs.invalidate_cache()
    assert not fs.exists(f"{bucket.name}-made")


def test_metadata(fs: gcsfs.GCSFileSystem, bucket: storage.Bucket) -> None:
    fs.pipe(f"{bucket.name}/a", b"a")
    fs.setxattrs(f"{bucket.name}/a", content_type="text/x-test", color="blue")
    assert fs.getxattr(f"{bucket.name}/a", "color") == "blue"
    assert bucket.get_blob("a").content_type == "text/x-test"


def test_discarded_upload(fs: gcsfs.GCSFileSystem, bucket: storage.Bucket) -> None:
    with fs.open(f"{bucket.name}/never", "wb", autocommit=False, block_size=2**18) as file:
        file.write(b"x" * 2**19)
    file.discard()
    assert bucket.get_blob("never") is None


def test_pandas_frames(bucket: storage.Bucket) -> None:
    frame = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "z"]})
    options = {"token": "anon"}
    frame.to_parquet(f"gs://{bucket.name}/frame.parquet", storage_options=options)
    found = pd.read_parquet(f"gs://{bucket.name}/frame.parquet", storage_options=options)
    pd.testing.assert_frame_equal(found, frame)
    frame.to_csv(f"gs://{bucket.name}/frame.csv", index=False, storage_options=options)
    found = pd.read_csv(f"gs://{bucket.name}/frame.csv", storage_options=options)
    pd.testing.assert_frame_equal(found, frame)
