#pragma once
// An Iceberg REST catalog. A look is a conditional load of the table; its answer brings the metadata with it.

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "adapters/catalogs/rest_session.hpp"
#include "adapters/catalogs/uri_tables.hpp"
#include "ports/table_catalog.hpp"

namespace signalbox::catalogs {

struct RestTable {
    std::vector<std::string> space;  // the namespace's levels
    std::string table;
};

class RestCatalog final : public ports::TableCatalog {
  public:
    explicit RestCatalog(RestConfig config);

    const std::string& name() const override { return config_.name; }
    // Namespaces inside namespaces, page by page; within thirty times the catalog's deadline.
    base::Result<ports::TableListing> list() override;
    // Unchanged: the server says so to the ETag, or names the same metadata file.
    base::Result<ports::TableVersion> look(const std::string& table, const ports::TableVersion& known) override;
    base::Result<ports::TableMetadataText> metadata(const std::string& table,
                                                    const ports::TableVersion& version) override;
    base::Result<std::unique_ptr<ports::TableFiles>> files(const ports::TableVersion& version,
                                                           const std::string& location) override;
    ports::ReadCounters counters() const override { return session_.counters(); }

  private:
    using Clock = RestSession::Clock;
    struct Listing;
    // Calls `take` with each page of a list; it returns what is wrong with the page.
    template <typename Take>
    base::Status pages(const std::string& path, Clock::time_point until, const Take& take);
    base::Status list_children(const std::vector<std::string>& parent, Clock::time_point until, Listing& listing);
    base::Status list_tables(const std::vector<std::string>& space, Clock::time_point until, Listing& listing);
    // Of what may be passed over; else the error.
    base::Status tolerate(const base::Status& status, const std::vector<std::string>& space, Listing& listing) const;
    RestTable resolve(const std::string& table) const;
    std::string joined(const std::vector<std::string>& space) const;

    const RestConfig config_;
    RestSession session_;
    UriTables tables_;
    mutable std::mutex mutex_;
    std::map<std::string, RestTable> known_;  // of the last listing
};

}  // namespace signalbox::catalogs
