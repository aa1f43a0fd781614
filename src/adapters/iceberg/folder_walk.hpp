#pragma once
// Finds the tables below a folder: WAREHOUSE/db/table/metadata, with namespaces inside namespaces.

#include <functional>
#include <string>

#include "base/error.hpp"
#include "domain/lake/name_filter.hpp"

namespace signalbox::iceberg {

struct FolderConfig {
    std::string name;            // of the catalog
    std::string path;            // the warehouse, or one table's folder
    int depth = 4;               // how many folders a table may lie below the warehouse
    bool allow_outside = false;  // follow symlinks, and read files, that lead out of the warehouse or the table
    lake::NameFilter filter;
};

// Called while walking; each path is as it is reached from the configured one. A folder is announced before it is read,
// so that what is created meanwhile is either found or noticed by a watch.
struct FolderVisitor {
    // A folder that may hold namespaces or tables; `relative` is empty for the warehouse itself.
    std::function<void(const std::string& path, const std::string& relative)> folder;
    // The metadata folder inside the folder `relative`, whether or not it makes that folder a table.
    std::function<void(const std::string& path, const std::string& relative)> metadata;
    std::function<void(const std::string& path, const std::string& relative)> table;
    std::function<void(std::string fault)> fault;
};

// Walks the folder `relative` of the warehouse and what is below it. Names that begin with '.' or '_' are passed over,
// as Hadoop does. Symlinks inside the warehouse are passed over (their target is found by its own name); those that
// lead out are a fault unless they are allowed, and then no folder is read twice, so that a cycle ends.
void walk_folders(const FolderConfig& config, const std::string& relative, const FolderVisitor& visitor);

// "a/b/t" is "a.b.t"; the warehouse itself, if it is a table, has its folder's own name.
std::string table_name(const FolderConfig& config, const std::string& relative);

// Whether the metadata folder holds a table's metadata. Errors as those of newest_metadata.
base::Result<bool> holds_metadata(const std::string& metadata_folder);

}  // namespace signalbox::iceberg
