"""What a table's metrics and commits must be, worked out from the writer's own metadata tables. No part of it is Signalbox's.

A file is a dict as in Iceberg's `files` table: content, file_path, file_format, partition, record_count, file_size_in_bytes,
content_offset, content_size_in_bytes. What a commit changed is the difference of the live files before and after it.
"""
import json
import math
import statistics

DATA, POSITION_DELETES, EQUALITY_DELETES = 0, 1, 2


def size_of(file: dict) -> int:
    """Vectors share a puffin file: each counts with its own bytes."""
    vector = file.get("content_size_in_bytes") if file["file_format"].upper() == "PUFFIN" else None
    return file["file_size_in_bytes"] if vector is None else vector


def identity_of(file: dict) -> tuple:
    return file["file_path"], file.get("content_offset")


def partition_of(row: dict) -> str:
    """The values that are not null, of a file or of a row of the table `partitions`. Signalbox keeps a null and a field that the
    partition's spec does not have for the same; Iceberg's own table did so up to 1.8, and tells them apart since."""
    values = {name: value for name, value in (row.get("partition") or {}).items() if value is not None}
    return json.dumps(values, sort_keys=True, default=str)


def merge_partitions(rows: list[dict]) -> list[dict]:
    """Rows of the table `partitions` as Signalbox counts them: those with live data files, one for each partition_of."""
    merged: dict[str, dict] = {}
    for row in rows:
        if not row["file_count"]:
            continue
        one = merged.setdefault(partition_of(row), {"partition": json.loads(partition_of(row)), "record_count": 0, "file_count": 0})
        one["record_count"] += row["record_count"]
        one["file_count"] += row["file_count"]
    return list(merged.values())


def of_content(files: list[dict], *contents: int) -> list[dict]:
    return [file for file in files if file["content"] in contents]


def records(files: list[dict]) -> int:
    return sum(file["record_count"] for file in files)


def size(files: list[dict]) -> int:
    return sum(map(size_of, files))


def difference(before: list[dict], after: list[dict]) -> tuple[list[dict], list[dict]]:
    """(added, removed)"""
    old, new = {identity_of(f): f for f in before}, {identity_of(f): f for f in after}
    return [f for key, f in new.items() if key not in old], [f for key, f in old.items() if key not in new]


def describe(metrics: dict, group: str, what: str, values: list[int]) -> None:
    """{avg,max,min,deviation,skew}_WHAT"""
    n = len(values)
    mean = statistics.fmean(values) if n else None
    metrics[f"{group}.avg_{what}"] = mean
    metrics[f"{group}.max_{what}"] = max(values, default=None)
    metrics[f"{group}.min_{what}"] = min(values, default=None)
    metrics[f"{group}.deviation_{what}"] = statistics.stdev(values) if n > 1 else None
    skew = None
    if n > 2:
        m2 = math.fsum((v - mean) ** 2 for v in values) / n
        m3 = math.fsum((v - mean) ** 3 for v in values) / n
        skew = math.sqrt(n * (n - 1)) / (n - 2) * m3 / m2**1.5 if m2 else 0.0
    metrics[f"{group}.skew_{what}"] = skew


def change_metrics(added: list[dict], removed: list[dict]) -> dict:
    new, gone = of_content(added, DATA), of_content(removed, DATA)
    deletes = (POSITION_DELETES, EQUALITY_DELETES)
    return {
        "snapshot.added_data_files": len(new),
        "snapshot.added_records": records(new),
        "snapshot.changed_partition_count": len({partition_of(file) for file in added + removed}),
        "snapshot.added_files_size": size(added),
        "snapshot.added_position_deletes": records(of_content(added, POSITION_DELETES)),
        "snapshot.deleted_data_files": len(gone),
        "snapshot.deleted_records": records(gone),
        "snapshot.removed_files_size": size(removed),
        "snapshot.added_delete_files": len(of_content(added, *deletes)),
        "snapshot.removed_delete_files": len(of_content(removed, *deletes)),
        "snapshot.added_equality_deletes": records(of_content(added, EQUALITY_DELETES)),
        "snapshot.removed_position_deletes": records(of_content(removed, POSITION_DELETES)),
        "snapshot.removed_equality_deletes": records(of_content(removed, EQUALITY_DELETES)),
    }


def table_metrics(files: list[dict], partitions: list[dict]) -> dict:
    """`files`: the live ones; `partitions`: rows of the metadata table of that name."""
    data = of_content(files, DATA)
    metrics = {
        "snapshot.total_records": records(data),
        "snapshot.total_data_files": len(data),
        "snapshot.total_delete_files": len(files) - len(data),
        "snapshot.total_files_size": size(files),
    }
    merged = merge_partitions(partitions)
    describe(metrics, "partitions", "record_count", [row["record_count"] for row in merged])
    describe(metrics, "partitions", "file_count", [row["file_count"] for row in merged])
    describe(metrics, "files", "record_count", [file["record_count"] for file in data])
    describe(metrics, "files", "file_size", [file["file_size_in_bytes"] for file in data])
    return metrics


def ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def shape_metrics(files: list[dict], manifests: list[dict], target_bytes: int) -> dict:
    """What else is said of a table: of its manifests, small files and delete files. `manifests`: rows of that metadata table."""
    data, deletes = of_content(files, DATA), of_content(files, POSITION_DELETES, EQUALITY_DELETES)
    small = [file for file in data if file["file_size_in_bytes"] < target_bytes]
    sizes = [row["length"] for row in manifests]
    return {
        "snapshot.total_position_deletes": records(of_content(files, POSITION_DELETES)),
        "snapshot.total_equality_deletes": records(of_content(files, EQUALITY_DELETES)),
        "manifests.data_count": sum(row["content"] == 0 for row in manifests),
        "manifests.delete_count": sum(row["content"] == 1 for row in manifests),
        "manifests.total_size": sum(sizes),
        "manifests.avg_size": ratio(sum(sizes), len(sizes)),
        "manifests.max_size": max(sizes, default=None),
        "files.small_file_count": len(small),
        "files.small_file_share": ratio(len(small), len(data)),
        "files.small_size_share": ratio(size(small), size(data)),
        "files.target_size": target_bytes,
        "deletes.position_file_count": len(of_content(files, POSITION_DELETES)),
        "deletes.equality_file_count": len(of_content(files, EQUALITY_DELETES)),
        "deletes.vector_count": sum(file["file_format"].upper() == "PUFFIN" for file in deletes),
        "deletes.file_ratio": ratio(len(deletes), len(data)),
        "deletes.record_ratio": ratio(records(deletes), records(data)),
    }


def dangling(files: list[dict], unpartitioned_specs: set[int]) -> int:
    """Delete files that apply to no live data file (Iceberg spec, "Scan Planning"). Each file with its data sequence number."""
    data = of_content(files, DATA)

    def applies(delete: dict, file: dict) -> bool:
        if delete["file_format"].upper() == "PUFFIN":
            return delete["referenced_data_file"] == file["file_path"]
        same = (delete["spec_id"], partition_of(delete)) == (file["spec_id"], partition_of(file))
        if delete["content"] == POSITION_DELETES:
            return same and file["sequence_number"] <= delete["sequence_number"]
        return (same or delete["spec_id"] in unpartitioned_specs) and file["sequence_number"] < delete["sequence_number"]

    return sum(not any(applies(delete, file) for file in data) for delete in of_content(files, POSITION_DELETES, EQUALITY_DELETES))


def totals(files: list[dict]) -> dict:
    data, deletes = of_content(files, DATA), of_content(files, POSITION_DELETES, EQUALITY_DELETES)
    return {
        "total_data_files": len(data),
        "total_records": records(data),
        "total_bytes": size(data),
        "total_delete_files": len(deletes),
        "total_delete_bytes": size(deletes),
        "total_position_deletes": records(of_content(files, POSITION_DELETES)),
        "total_equality_deletes": records(of_content(files, EQUALITY_DELETES)),
    }


def commit(snapshot: dict, before: list[dict] | None, after: list[dict]) -> dict:
    """One commit as the NAME.expected.json of examples/tables has it. `snapshot`: a row of the table `snapshots`; `before`: the
    live files of its parent, empty if it has none, None if they are not known: then what it changed is null, not 0."""
    result = {"snapshot_id": snapshot["snapshot_id"], "parent_id": snapshot.get("parent_id"), "operation": snapshot["operation"]}
    added, removed = ([], []) if before is None else difference(before, after)
    for name, files in (("added", added), ("removed", removed)):
        data, deletes = of_content(files, DATA), of_content(files, POSITION_DELETES, EQUALITY_DELETES)
        changes = {
            f"{name}_data_files": len(data),
            f"{name}_records": records(data),
            f"{name}_bytes": size(data),
            f"{name}_delete_files": len(deletes),
            f"{name}_delete_bytes": size(deletes),
            f"{name}_position_deletes": records(of_content(files, POSITION_DELETES)),
            f"{name}_equality_deletes": records(of_content(files, EQUALITY_DELETES)),
        }
        result |= changes if before is not None else dict.fromkeys(changes)
    result["changed_partitions"] = None if before is None else len({partition_of(file) for file in added + removed})
    return result | totals(after)
