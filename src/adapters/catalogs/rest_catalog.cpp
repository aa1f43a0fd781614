#include "adapters/catalogs/rest_catalog.hpp"

#include <algorithm>
#include <deque>
#include <set>

#include "base/json.hpp"
#include "base/text.hpp"

namespace signalbox::catalogs {

using base::Error;
using base::ErrorKind;
using base::fail;
using base::Result;
using base::Status;
using ports::TableListing;
using ports::TableMetadataText;
using ports::TableVersion;
namespace json = base::json;

namespace {

constexpr std::size_t levels_max = 16;
constexpr std::size_t namespaces_max = 20'000;
constexpr std::size_t pages_max = 10'000;
constexpr int page_size = 1000;
constexpr int list_deadlines = 30;

Result<std::vector<std::string>> levels_of(const json::value& value) {
    const json::array* parts = value.if_array();
    if (parts == nullptr || parts->empty() || parts->size() > levels_max)
        return fail(ErrorKind::CorruptData, "a namespace is not a list of 1 to {} names", levels_max);
    std::vector<std::string> levels;
    for (const json::value& part : *parts) {
        if (!part.is_string()) return fail(ErrorKind::CorruptData, "a namespace's level is not a text");
        levels.emplace_back(part.as_string());
    }
    return levels;
}

std::string full_name(const RestTable& table) {
    return table.space.empty() ? table.table : base::join(table.space, ".") + "." + table.table;
}

const json::array* list_of(const json::value& page, std::string_view key) {
    const json::object* object = page.if_object();
    const json::value* value = object != nullptr ? object->if_contains(key) : nullptr;
    return value != nullptr ? value->if_array() : nullptr;
}

// Empty: this was the last page.
std::string next_token(const json::value& page) {
    const json::value* token = page.as_object().if_contains("next-page-token");
    return token != nullptr && token->is_string() ? std::string(token->as_string()) : std::string();
}

}  // namespace

struct RestCatalog::Listing {
    std::map<std::string, RestTable> tables;
    std::deque<std::vector<std::string>> open;
    std::set<std::vector<std::string>> seen;
    std::vector<std::string> faults;
};

RestCatalog::RestCatalog(RestConfig config)
    : config_(std::move(config)), session_(config_), tables_(config_.allow_outside) {}

std::string RestCatalog::joined(const std::vector<std::string>& space) const {
    std::vector<std::string> encoded;
    for (const std::string& level : space) encoded.push_back(percent_encoded(level));
    return base::join(encoded, session_.separator());
}

template <typename Take>
Status RestCatalog::pages(const std::string& path, Clock::time_point until, const Take& take) {
    std::string token;
    std::set<std::string> tokens;
    for (std::size_t page = 0; page < pages_max; ++page) {
        const std::string target =
            fmt::format("{}{}pageToken={}&pageSize={}", path, path.find('?') == std::string::npos ? '?' : '&',
                        percent_encoded(token), page_size);
        SB_TRY(const http::Reply reply, session_.get(target, {}, std::min(until, Clock::now() + config_.timeout)));
        auto value = base::parse_json(reply.body);
        if (value && !value->is_object()) value = fail(ErrorKind::CorruptData, "it is no JSON object");
        Status status = value ? take(*value) : Status(tl::unexpected<Error>(value.error()));
        if (!status) {
            return fail(ErrorKind::CorruptData, "catalog '{}': the answer to {}: {}", config_.name, path,
                        status.error().message);
        }
        token = next_token(*value);
        if (token.empty()) return {};
        if (!tokens.insert(token).second)
            return fail(ErrorKind::CorruptData, "catalog '{}': the pages of {} go in circles", config_.name, path);
    }
    return fail(ErrorKind::CorruptData, "catalog '{}': {} has more than {} pages", config_.name, path, pages_max);
}

Status RestCatalog::list_children(const std::vector<std::string>& parent, Clock::time_point until, Listing& listing) {
    const std::string path = parent.empty() ? "/namespaces" : "/namespaces?parent=" + joined(parent);
    return pages(path, until, [&](const json::value& page) -> Status {
        const json::array* spaces = list_of(page, "namespaces");
        if (spaces == nullptr) return fail(ErrorKind::CorruptData, "there is no list `namespaces`");
        for (const json::value& space : *spaces) {
            SB_TRY(std::vector<std::string> levels, levels_of(space));
            // A server that knows no parents answers with all namespaces.
            const bool below =
                levels.size() > parent.size() && std::equal(parent.begin(), parent.end(), levels.begin());
            if (!below || !listing.seen.insert(levels).second) continue;
            if (listing.seen.size() > namespaces_max)
                return fail(ErrorKind::CorruptData, "there are more than {} namespaces", namespaces_max);
            listing.open.push_back(std::move(levels));
        }
        return {};
    });
}

Status RestCatalog::list_tables(const std::vector<std::string>& space, Clock::time_point until, Listing& listing) {
    return pages(fmt::format("/namespaces/{}/tables", joined(space)), until, [&](const json::value& page) -> Status {
        const json::array* identifiers = list_of(page, "identifiers");
        if (identifiers == nullptr) return fail(ErrorKind::CorruptData, "there is no list `identifiers`");
        for (const json::value& identifier : *identifiers) {
            const json::object* object = identifier.if_object();
            const json::value* levels = object != nullptr ? object->if_contains("namespace") : nullptr;
            const json::value* name = object != nullptr ? object->if_contains("name") : nullptr;
            if (levels == nullptr || name == nullptr || !name->is_string())
                return fail(ErrorKind::CorruptData, "an identifier without a namespace and a name");
            RestTable table;
            SB_TRY(table.space, levels_of(*levels));
            table.table = std::string(name->as_string());
            const std::string full = full_name(table);
            if (!config_.filter.passes(full)) continue;
            if (!listing.tables.emplace(full, std::move(table)).second)
                listing.faults.push_back(fmt::format("two tables are named '{}'; one is taken", full));
            if (listing.tables.size() > tables_max)
                return fail(ErrorKind::CorruptData, "there are more than {} tables: narrow it with include or exclude",
                            tables_max);
        }
        return {};
    });
}

Status RestCatalog::tolerate(const Status& status, const std::vector<std::string>& space, Listing& listing) const {
    if (status) return {};
    // Dropped while we listed.
    if (status.error().kind == ErrorKind::NotFound) return {};
    if (status.error().kind != ErrorKind::PermissionDenied || space.empty()) return status;
    listing.faults.push_back(fmt::format("namespace '{}': {}", base::join(space, "."), status.error().text()));
    return {};
}

Result<TableListing> RestCatalog::list() {
    const auto until = Clock::now() + list_deadlines * config_.timeout;
    Listing found;
    SB_CHECK(tolerate(list_children({}, until, found), {}, found));
    while (!found.open.empty()) {
        const std::vector<std::string> space = std::move(found.open.front());
        found.open.pop_front();
        SB_CHECK(tolerate(list_tables(space, until, found), space, found));
        Status children = list_children(space, until, found);
        // A server without nested namespaces may refuse the question.
        const bool flat =
            !children && (children.error().kind == ErrorKind::NotSupported || children.error().code == 400);
        if (!flat) SB_CHECK(tolerate(children, space, found));
    }
    TableListing listing;
    for (const auto& [table, where] : found.tables) listing.tables.push_back({config_.name, table, ""});
    listing.faults = std::move(found.faults);
    const std::lock_guard guard(mutex_);
    known_ = std::move(found.tables);
    return listing;
}

RestTable RestCatalog::resolve(const std::string& table) const {
    {
        const std::lock_guard guard(mutex_);
        if (const auto found = known_.find(table); found != known_.end()) return found->second;
    }
    RestTable split;
    for (const std::string_view part : base::split(table, '.')) split.space.emplace_back(part);
    split.table = std::move(split.space.back());
    split.space.pop_back();
    return split;
}

Result<TableVersion> RestCatalog::look(const std::string& table, const TableVersion& known) {
    const RestTable where = resolve(table);
    const auto absent = [&] {
        return fail(ErrorKind::NotFound, "catalog '{}' has no table '{}'", config_.name, table);
    };
    if (where.space.empty()) return absent();
    const auto until = Clock::now() + config_.timeout;
    SB_CHECK(session_.begin(until));
    RestSession::Headers headers;
    if (!known.etag.empty() && !known.metadata_location.empty()) headers.emplace_back("If-None-Match", known.etag);
    auto reply = session_.get(
        fmt::format("/namespaces/{}/tables/{}?snapshots=all", joined(where.space), percent_encoded(where.table)),
        headers, until);
    if (!reply && reply.error().kind == ErrorKind::NotFound) return absent();
    if (!reply) return tl::unexpected<Error>(std::move(reply.error()));
    TableVersion version = known;
    version.metadata_text.clear();
    version.unchanged = true;
    if (reply->status == 304) return version;
    auto value = base::parse_json(reply->body);
    const json::object* answer = value ? value->if_object() : nullptr;
    const json::value* location = answer != nullptr ? answer->if_contains("metadata-location") : nullptr;
    const json::value* metadata = answer != nullptr ? answer->if_contains("metadata") : nullptr;
    if (location == nullptr || !location->is_string() || metadata == nullptr || !metadata->is_object()) {
        return fail(ErrorKind::CorruptData, "catalog '{}': the answer to a load of '{}' has no {}", config_.name, table,
                    !value ? fmt::format("JSON: {}", value.error().message) : "metadata-location with its metadata");
    }
    const auto etag = reply->headers.find("etag");
    version.etag = etag == reply->headers.end() ? std::string() : etag->second;
    version.metadata_location = std::string(location->as_string());
    version.unchanged = version.metadata_location == known.metadata_location;
    if (!version.unchanged) version.metadata_text = json::serialize(*metadata);
    return version;
}

Result<TableMetadataText> RestCatalog::metadata(const std::string& table, const TableVersion& version) {
    if (!version.metadata_text.empty()) return TableMetadataText{version.metadata_location, version.metadata_text, 0};
    // Not brought with a look: the table's state now, which may be a later one.
    SB_TRY(TableVersion now, look(table, {}));
    return TableMetadataText{std::move(now.metadata_location), std::move(now.metadata_text), 0};
}

Result<std::unique_ptr<ports::TableFiles>> RestCatalog::files(const TableVersion&, const std::string& location) {
    return tables_.files(location);
}

}  // namespace signalbox::catalogs
