#include <utility>

#include "domain/lake/history.hpp"

namespace signalbox::lake {

using base::ErrorKind;
using base::fail;
using base::Result;
namespace json = base::json;

namespace {

template <typename T>
json::value nullable(const std::optional<T>& value) {
    return value ? json::value(std::int64_t{*value}) : json::value(nullptr);
}

// Reads the members of a stored cursor; the first fault is kept.
class Members {
  public:
    explicit Members(const json::object& object) : object_(object) {}

    std::int64_t number(std::string_view key) { return optional(key).value_or(0); }

    std::optional<std::int64_t> optional(std::string_view key) {
        const json::value* value = find(key);
        if (value == nullptr || value->is_null()) return std::nullopt;
        if (!value->is_int64()) return fault(key), std::nullopt;
        return value->get_int64();
    }

    std::optional<std::int32_t> small(std::string_view key) {
        const auto value = optional(key);
        if (!value) return std::nullopt;
        if (*value < 0 || *value > INT32_MAX) return fault(key), std::nullopt;
        return static_cast<std::int32_t>(*value);
    }

    std::string text(std::string_view key) {
        const json::value* value = find(key);
        if (value == nullptr || !value->is_string()) return fault(key), std::string();
        return std::string(std::string_view(value->get_string()));
    }

    void ids(std::string_view key, std::set<std::int64_t>& out) {
        const json::value* value = find(key);
        if (value == nullptr || !value->is_array()) return fault(key);
        for (const json::value& id : value->get_array()) {
            if (!id.is_int64()) return fault(key);
            out.insert(id.get_int64());
        }
    }

    void refs(std::string_view key, std::map<std::string, std::int64_t>& out) {
        const json::value* value = find(key);
        if (value == nullptr || !value->is_object()) return fault(key);
        for (const auto& [name, id] : value->get_object()) {
            if (!id.is_int64()) return fault(key);
            out.emplace(name, id.get_int64());
        }
    }

    void names(std::string_view key, std::set<std::string>& out) {
        const json::value* value = find(key);
        if (value == nullptr || !value->is_array()) return fault(key);
        for (const json::value& name : value->get_array()) {
            if (!name.is_string()) return fault(key);
            out.emplace(std::string_view(name.get_string()));
        }
    }

    const std::string& faulty() const { return faulty_; }

  private:
    const json::value* find(std::string_view key) const { return object_.if_contains(key); }
    void fault(std::string_view key) {
        if (faulty_.empty()) faulty_ = std::string(key);
    }

    const json::object& object_;
    std::string faulty_;
};

}  // namespace

json::object encode(const Cursor& cursor) {
    json::object object;
    object["table_uuid"] = cursor.table_uuid;
    object["main_snapshot"] = nullable(cursor.main_snapshot);
    object["main_sequence"] = cursor.main_sequence;
    object["main_timestamp_ms"] = cursor.main_timestamp_ms;
    json::object refs;
    for (const auto& [name, id] : cursor.refs) refs[name] = id;
    object["refs"] = std::move(refs);
    object["tags"] = json::array(cursor.tags.begin(), cursor.tags.end());
    object["seen"] = json::array(cursor.seen.begin(), cursor.seen.end());
    object["last_sequence_number"] = cursor.last_sequence_number;
    object["schema_id"] = nullable(cursor.schema_id);
    object["spec_id"] = nullable(cursor.spec_id);
    object["sort_order_id"] = nullable(cursor.sort_order_id);
    object["log_timestamp_ms"] = cursor.log_timestamp_ms;
    object["gap_told"] = nullable(cursor.gap_told);
    object["metadata_location"] = cursor.metadata_location;
    return object;
}

Result<Cursor> decode_cursor(const json::object& object) {
    Members members(object);
    Cursor cursor;
    cursor.table_uuid = members.text("table_uuid");
    cursor.main_snapshot = members.optional("main_snapshot");
    cursor.main_sequence = members.number("main_sequence");
    cursor.main_timestamp_ms = members.number("main_timestamp_ms");
    members.refs("refs", cursor.refs);
    members.names("tags", cursor.tags);
    members.ids("seen", cursor.seen);
    cursor.last_sequence_number = members.number("last_sequence_number");
    cursor.schema_id = members.small("schema_id");
    cursor.spec_id = members.small("spec_id");
    cursor.sort_order_id = members.small("sort_order_id");
    cursor.log_timestamp_ms = members.number("log_timestamp_ms");
    cursor.gap_told = members.optional("gap_told");
    cursor.metadata_location = members.text("metadata_location");
    if (!members.faulty().empty()) {
        return fail(ErrorKind::CorruptData, "a stored cursor is damaged: '{}' is missing or of another type",
                    members.faulty());
    }
    return cursor;
}

std::string_view to_string(CommitKind kind) {
    switch (kind) {
        case CommitKind::Main:
            return "main";
        case CommitKind::Branch:
            return "branch";
        case CommitKind::Staged:
            return "staged";
        case CommitKind::RolledBack:
            break;
    }
    return "rolled-back";
}

std::string_view to_string(TableEventKind kind) {
    switch (kind) {
        case TableEventKind::Rollback:
            return "rollback";
        case TableEventKind::FastForward:
            return "fast-forward";
        case TableEventKind::HistoryGap:
            return "history-gap";
        case TableEventKind::SchemaChanged:
            return "schema-changed";
        case TableEventKind::SpecChanged:
            return "spec-changed";
        case TableEventKind::SortOrderChanged:
            return "sort-order-changed";
        case TableEventKind::BranchCreated:
            return "branch-created";
        case TableEventKind::BranchDropped:
            return "branch-dropped";
        case TableEventKind::TagCreated:
            return "tag-created";
        case TableEventKind::TagDropped:
            return "tag-dropped";
        case TableEventKind::Recreated:
            return "recreated";
        case TableEventKind::SnapshotsExpired:
            break;
    }
    return "snapshots-expired";
}

Cursor CommitStep::after(Cursor before) const {
    before.seen.insert(snapshot_id);
    if (kind != CommitKind::Main) return before;
    before.main_snapshot = snapshot_id;
    before.main_sequence = sequence_number;
    before.main_timestamp_ms = timestamp_ms;
    return before;
}

}  // namespace signalbox::lake
