#pragma once
// The registry of catalogs: configuration → the ports that the engine calls.

#include <memory>
#include <vector>

#include "app/config_tables.hpp"
#include "ports/table_catalog.hpp"
#include "ports/table_changes.hpp"

namespace signalbox::app {

// No input or output yet.
std::unique_ptr<ports::TableCatalog> make_catalog(const CatalogConfig& config);

// Notices commits in all catalogs that are folders, from now on, and hands on the hints for all others.
std::unique_ptr<ports::TableChanges> make_changes(const std::vector<CatalogConfig>& configs);

}  // namespace signalbox::app
