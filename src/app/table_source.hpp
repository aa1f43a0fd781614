#pragma once
// Where a command finds the tables that it was asked for: a path on this machine, or a name in the configuration's
// catalogs.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "app/config.hpp"
#include "app/progress.hpp"
#include "ports/table_catalog.hpp"
#include "ports/table_reader.hpp"

namespace signalbox::app {

// What was typed is a path if something is there, or if it looks like nothing else.
bool is_path(const std::string& selector);

// The configuration, for names; only its defaults for paths when none was asked for.
struct SourceOptions {
    std::string config_file = "signalbox.yaml";
    bool config_given = false;
};
// The watched alarms are those of the configuration, if it is needed or was given, else the default ones.
base::Result<Config> config_for(const SourceOptions& options, bool need);

// A table whose metadata was read; its manifests come through the reader.
struct ReadTable {
    std::string name;  // "catalog.namespace.table"; of a path the table's own
    std::string metadata_location;
    lake::TableMetadata metadata;
    std::unique_ptr<ports::TableFiles> files;
    std::unique_ptr<ports::TableReader> reader;  // of these files
};

// A table of a catalog, as it is followed. Several may share a catalog.
struct TableSource {
    std::string name;
    std::shared_ptr<ports::TableCatalog> catalog;
    std::string table;            // in the catalog
    ports::TableVersion known{};  // what was read last
};

// Reads the table at a path: its folder, its metadata folder, or one metadata file. Errors name the file.
base::Result<ReadTable> read_path(const std::string& path);
// Reads a table as its catalog has it now. Nothing if it is as it was; source.known is not touched.
base::Result<std::optional<ReadTable>> read_source(const TableSource& source, ports::TableVersion& seen);
// Reads what the selector names, path or table of a catalog.
base::Result<ReadTable> read_selected(const std::string& selector, const Config& config);

// The tables at or below a folder. NotFound if there is none.
base::Result<std::vector<TableSource>> sources_below(const std::string& folder, std::vector<std::string>& faults);
// The table of that name, or of a unique end of one, in the configuration's catalogs.
base::Result<TableSource> named_source(const Config& config, const std::string& name);

// Shows how far a long read is.
std::function<void(const ports::ReadProgress&)> show_reading(Progress& progress, const std::string& table);

}  // namespace signalbox::app
