"""Writes large LMDB files (in volta's form) and HDF5 files (in VL-T5's form); reads a store with the public safetensors library.

python3 big_files.py lmdb|hdf5 OUT BYTES; python3 big_files.py read STORE
"""
import pickle
import sys

import numpy as np

OBJECTS, DIM, KINDS = 36, 2048, 8


def kinds():
    random = np.random.default_rng(1)
    for _ in range(KINDS):
        low = random.integers(0, 100, (OBJECTS, 2))
        yield {
            "features": np.maximum(0, random.normal(0.4, 1, (OBJECTS, DIM))).astype(np.float32),
            "boxes": np.concatenate([low, low + 200], 1).astype(np.float32),
            "obj_id": random.integers(0, 1600, OBJECTS),
            "obj_conf": random.random(OBJECTS).astype(np.float32),
            "attr_id": random.integers(0, 400, OBJECTS),
            "attr_conf": random.random(OBJECTS).astype(np.float32),
        }


def write_lmdb(out, size):
    import lmdb

    names = {"obj_id": "objects_id", "obj_conf": "objects_conf", "attr_id": "attrs_id", "attr_conf": "attrs_conf"}
    rows = [{names.get(name, name): value for name, value in kind.items()} for kind in kinds()]
    keys = []
    with lmdb.open(out, map_size=1 << 40) as database:
        for start in range(0, int(size / (4 * OBJECTS * DIM)) + 1, 500):
            with database.begin(write=True) as transaction:
                for image in range(start, start + 500):
                    row = {"img_id": f"COCO_train2014_{image:012d}", "img_h": 480, "img_w": 640, "num_boxes": OBJECTS}
                    keys.append(str(image).encode())
                    transaction.put(keys[-1], pickle.dumps({**row, **rows[image % KINDS]}, 4))
        with database.begin(write=True) as transaction:
            transaction.put(b"keys", pickle.dumps(keys, 4))


def write_hdf5(out, size):
    import h5py

    all_kinds = list(kinds())
    with h5py.File(out, "w") as file:
        for image in range(int(size / (4 * OBJECTS * DIM)) + 1):
            group = file.create_group(f"COCO_train2014_{image:012d}")
            for name, value in all_kinds[image % KINDS].items():
                group[name] = value
            group["img_h"], group["img_w"] = 480, 640


def read_store(store):
    from safetensors import safe_open
    from safetensors.numpy import load_file

    index = load_file(f"{store}/index.safetensors")
    images = len(index["count"])
    for image in (0, images // 2, images - 1):
        begin, end = index["id_offsets"][image], index["id_offsets"][image + 1]
        name = bytes(index["ids"][begin:end]).decode()
        row, count = int(index["row"][image]), int(index["count"][image])
        with safe_open(f"{store}/shard-{index['shard'][image]:05d}.safetensors", "numpy") as shard:
            features = shard.get_slice("features")[row : row + count]
            boxes = shard.get_slice("boxes")[row : row + count]
        print(f"{name}: features {features.dtype}{features.shape}, mean {features.astype(np.float32).mean():.5f}, boxes {boxes.shape}")


if __name__ == "__main__":
    what, path = sys.argv[1:3]
    if what == "read":
        read_store(path)
    else:
        {"lmdb": write_lmdb, "hdf5": write_hdf5}[what](path, float(sys.argv[3]))
