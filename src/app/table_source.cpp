#include "app/table_source.hpp"

#include <filesystem>

#include "adapters/iceberg/folder_catalog.hpp"
#include "adapters/iceberg/local_files.hpp"
#include "adapters/iceberg/local_table.hpp"
#include "adapters/iceberg/table_reader.hpp"
#include "app/catalogs.hpp"
#include "app/table_book.hpp"

namespace signalbox::app {
namespace {

using base::ErrorKind;
using base::fail;
namespace fs = std::filesystem;

// The last part of the table's location: what people call it.
std::string table_name(const lake::TableMetadata& metadata) {
    std::string_view location = metadata.location;
    while (!location.empty() && location.back() == '/') location.remove_suffix(1);
    return std::string(location.substr(location.rfind('/') + 1));
}

}  // namespace

bool is_path(const std::string& selector) {
    std::error_code ignored;
    return fs::exists(selector, ignored) || selector.find('/') != std::string::npos;
}

base::Result<Config> config_for(const SourceOptions& options, bool need) {
    if (need || options.config_given) return load_config(options.config_file, Secrets::Read);
    Config config;
    config.file = options.config_file;
    for (auto& alarm : alarms::default_alarms()) config.watch.alarms.push_back({std::move(alarm), {"*"}});
    return config;
}

base::Result<ReadTable> read_path(const std::string& path) {
    SB_TRY(iceberg::LocalTable local, iceberg::open_table(path));
    ReadTable table;
    table.name = table_name(local.metadata);
    table.metadata_location = local.metadata_file;
    const fs::path metadata_folder(local.metadata_folder);
    const fs::path folder = fs::absolute(metadata_folder).lexically_normal().parent_path();
    table.files = std::make_unique<iceberg::LocalFiles>(
        iceberg::TablePlace{local.metadata.location, folder.string(), metadata_folder.string()}, false);
    table.metadata = std::move(local.metadata);
    table.reader = std::make_unique<iceberg::TableReader>(*table.files);
    return table;
}

base::Result<std::optional<ReadTable>> read_source(const TableSource& source, ports::TableVersion& seen) {
    SB_TRY(seen, source.catalog->look(source.table, source.known));
    if (seen.unchanged) return std::optional<ReadTable>();
    ReadTable table;
    table.name = source.name;
    table.metadata_location = seen.metadata_location;
    SB_TRY(const auto text, source.catalog->metadata(source.table, seen));
    seen.metadata_text.clear();
    auto metadata = lake::parse_table_metadata(text.text);
    if (!metadata) return base::in_context(metadata.error(), seen.metadata_location);
    table.metadata = std::move(*metadata);
    SB_TRY(table.files, source.catalog->files(seen, table.metadata.location));
    table.reader = std::make_unique<iceberg::TableReader>(*table.files);
    return std::optional(std::move(table));
}

base::Result<ReadTable> read_selected(const std::string& selector, const Config& config) {
    if (is_path(selector)) return read_path(selector);
    SB_TRY(const TableSource source, named_source(config, selector));
    ports::TableVersion seen;
    SB_TRY(auto table, read_source(source, seen));
    if (!table)
        return fail(ErrorKind::Internal, "{}: the catalog calls a table unchanged that was never read", source.name);
    return std::move(*table);
}

base::Result<std::vector<TableSource>> sources_below(const std::string& folder, std::vector<std::string>& faults) {
    iceberg::FolderConfig config;
    config.path = folder;
    const auto catalog = std::make_shared<iceberg::FolderCatalog>(config);
    SB_TRY(auto listing, catalog->list());
    faults.insert(faults.end(), listing.faults.begin(), listing.faults.end());
    std::vector<TableSource> sources;
    for (const auto& table : listing.tables) sources.push_back({table.name, catalog, table.name});
    if (!sources.empty()) return sources;
    return fail(
        ErrorKind::NotFound,
        "{}: there is no Iceberg table here or below; expected a table's folder, which holds metadata/, or a folder "
        "of tables",
        folder);
}

base::Result<TableSource> named_source(const Config& config, const std::string& name) {
    if (config.catalogs.empty()) {
        return fail(ErrorKind::NotFound,
                    "{}: there is no catalog to find the table '{}' in; add 'catalogs', or give the path of a table",
                    config.file, name);
    }
    std::vector<TableSource> sources;
    std::vector<std::string> names;
    std::string faults;
    for (const CatalogConfig& configured : config.catalogs) {
        const std::shared_ptr<ports::TableCatalog> catalog = make_catalog(configured);
        const auto listing = catalog->list();
        if (!listing) {
            // Another catalog may have it; this one is told of if none does.
            faults += fmt::format("; {}: {}", catalog->name(), listing.error().text());
            continue;
        }
        for (const auto& table : listing->tables) {
            sources.push_back({table.catalog + "." + table.name, catalog, table.name});
            names.push_back(sources.back().name);
        }
        for (const auto& fault : listing->faults) faults += "; " + fault;
    }
    const auto picked = pick_table(names, name);
    if (!picked)
        return fail(faults.empty() ? picked.error().kind : ErrorKind::Unavailable, "{}{}", picked.error().text(),
                    faults);
    for (TableSource& source : sources)
        if (source.name == *picked) return std::move(source);
    return fail(ErrorKind::Internal, "{} was listed and is gone", *picked);
}

std::function<void(const ports::ReadProgress&)> show_reading(Progress& progress, const std::string& table) {
    return [&progress, table](const ports::ReadProgress& read) {
        if (!progress.due()) return;
        progress.show(fmt::format("{}: {} of {} manifests, {}", table, read.done, read.total,
                                  size_text(static_cast<double>(read.bytes))));
    };
}

}  // namespace signalbox::app
