#pragma once
// Where tables are registered: which there are, and which metadata file is a table's state now. Read only.
//
// The loop over a table that is due or woken:
//     look(name, known) → unchanged? done
//     metadata(name, version) → text → lake::parse_table_metadata → files(version, parsed.location) → manifests
// and `known = version` only once all of it was processed.

#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "ports/table_files.hpp"

namespace signalbox::ports {

struct TableRef {
    std::string catalog;
    std::string name;  // "db.table", with nested namespaces "a.b.table"
    // What the listing itself says of the table's state; empty if it says nothing (folders, REST). Where it equals the
    // known version's, the table is unchanged and needs no look: a SQL catalog tells of all tables in one query.
    std::string metadata_location;
    friend bool operator==(const TableRef&, const TableRef&) = default;
};

struct TableListing {
    std::vector<TableRef> tables;  // by name
    // Parts that could not be listed (a folder without permission, a namespace that answers an error), one line each.
    // While there is any, a table that is missing from the list may still exist: only look() tells.
    std::vector<std::string> faults;
};

struct TableVersion {
    // The URI or path of the metadata file that is the table's state; the same text means the same state.
    std::string metadata_location;
    // What the catalog needs to answer the next look with little work: an ETag, or what stat() said. Opaque; may be
    // empty. Keep it beside the location, also across restarts.
    std::string etag;
    // Against `known`. All other fields are then known's (the etag may be fresher).
    bool unchanged = false;
    // The metadata's text, where the protocol brings it with the look (REST); else empty. Not to be kept.
    std::string metadata_text;
};

struct TableMetadataText {
    std::string metadata_location;
    std::string text;         // JSON, decompressed
    std::uint64_t bytes = 0;  // as they came, compressed or not; 0 if they came with the look
};

// Calls block, each within a deadline of its own (`timeout` of the catalog's configuration). Safe from several threads.
// Errors of all: PermissionDenied, Unavailable and Timeout (away or asks for patience; try later), CorruptData (an
// answer that can't be understood), NotSupported. NotFound has one meaning: the catalog answers, and has no such
// table. Nothing secret is in a text.
class TableCatalog {
  public:
    virtual ~TableCatalog() = default;
    virtual const std::string& name() const = 0;
    // All tables, at most tables_max; CorruptData beyond. An empty list is an answer, not an error.
    virtual base::Result<TableListing> list() = 0;
    // The table's state now. `known` is the version that was processed last; with an empty one everything is new.
    virtual base::Result<TableVersion> look(const std::string& table, const TableVersion& known) = 0;
    // The text of that version's metadata. Where it is gone (NotFound) the table may still be there: look again. A text
    // that is cut because its writer still writes it is CorruptData here or when it is parsed; a later look finds it
    // changed.
    virtual base::Result<TableMetadataText> metadata(const std::string& table, const TableVersion& version) = 0;
    // The files of the table; `location` is the one that its metadata has. NotSupported for a storage that this version
    // can't read. No input or output of its own.
    virtual base::Result<std::unique_ptr<TableFiles>> files(const TableVersion& version,
                                                            const std::string& location) = 0;
    // Of the catalog itself: requests, queries or folders read, and bytes of answers. Not those of `files`.
    virtual ReadCounters counters() const = 0;

    static constexpr std::size_t tables_max = 100'000;
};

}  // namespace signalbox::ports
