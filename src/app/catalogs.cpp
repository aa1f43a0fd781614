#include "app/catalogs.hpp"

#include "adapters/catalogs/rest_catalog.hpp"
#include "adapters/catalogs/sql_catalog.hpp"
#include "adapters/iceberg/folder_catalog.hpp"
#include "adapters/iceberg/folder_watch.hpp"

namespace signalbox::app {
namespace {

struct Maker {
    using Made = std::unique_ptr<ports::TableCatalog>;
    Made operator()(const iceberg::FolderConfig& config) const {
        return std::make_unique<iceberg::FolderCatalog>(config);
    }
    Made operator()(const catalogs::SqlConfig& config) const { return std::make_unique<catalogs::SqlCatalog>(config); }
    Made operator()(const catalogs::RestConfig& config) const {
        return std::make_unique<catalogs::RestCatalog>(config);
    }
};

}  // namespace

std::unique_ptr<ports::TableCatalog> make_catalog(const CatalogConfig& config) {
    return std::visit(Maker{}, config.adapter);
}

std::unique_ptr<ports::TableChanges> make_changes(const std::vector<CatalogConfig>& configs) {
    std::vector<iceberg::FolderConfig> folders;
    for (const CatalogConfig& config : configs)
        if (const auto* folder = std::get_if<iceberg::FolderConfig>(&config.adapter)) folders.push_back(*folder);
    return std::make_unique<iceberg::FolderWatch>(std::move(folders));
}

}  // namespace signalbox::app
