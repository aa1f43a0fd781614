#include "api/tables.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace signalbox::api {
namespace {

namespace json = base::json;
using base::ErrorKind;
using base::fail;

constexpr std::uint64_t commits_default = 100;
constexpr std::uint64_t commits_max = 10'000;
constexpr std::size_t text_max_bytes = 500;

Response respond(unsigned status, const json::value& body) {
    return {status, "application/json", json::serialize(body) + "\n"};
}

// "catalog.namespace.table": what a catalog may name, but nothing that breaks a line.
bool is_table_name(std::string_view name) {
    return !name.empty() && name.size() <= text_max_bytes &&
           std::all_of(name.begin(), name.end(), [](unsigned char letter) { return letter > ' ' && letter != 127; });
}

// The texts of a body that holds nothing else; those that are missing stay empty.
base::Result<std::map<std::string, std::string>> read_texts(const std::string& body,
                                                            const std::vector<std::string>& names) {
    SB_TRY(const json::value document, base::parse_json(body));
    const json::object* object = document.if_object();
    if (object == nullptr)
        return fail(ErrorKind::InvalidArgument, "expected a JSON object with {}", base::join(names, ", "));
    std::map<std::string, std::string> texts;
    for (const auto& [key, value] : *object) {
        if (std::find(names.begin(), names.end(), std::string_view(key)) == names.end()) {
            return fail(ErrorKind::InvalidArgument, "'{}' is not known here; there are {}",
                        std::string(key).substr(0, 100), base::join(names, ", "));
        }
        const bool fits = value.is_string() && value.get_string().size() <= text_max_bytes;
        if (!fits)
            return fail(ErrorKind::InvalidArgument, "{}: expected a text of at most {} bytes", std::string(key),
                        text_max_bytes);
        texts[std::string(key)] = std::string(value.get_string());
    }
    return texts;
}

Response list_commits(TableSource& source, const std::string& table, const Request& request) {
    ports::CommitQuery query;
    query.table = table;
    query.limit = commits_default;
    for (const auto& [name, value] : request.query) {
        const auto number = base::parse_uint(value);
        if (name == "limit" && number && *number >= 1 && *number <= commits_max) {
            query.limit = static_cast<std::size_t>(*number);
        } else if (name == "after" && number && *number <= INT64_MAX) {
            query.after = static_cast<std::int64_t>(*number);
        } else if (name == "order" && (value == "oldest" || value == "newest")) {
            query.newest_first = value == "newest";
        } else {
            return error(
                {ErrorKind::InvalidArgument,
                 fmt::format("query: expected limit=N from 1 to {}, after=SEQUENCE or order=oldest|newest, found {}={}",
                             commits_max, name, value),
                 {},
                 0});
        }
    }
    auto commits = source.commits(query);
    if (!commits) return error(commits.error());
    return respond(200, json::object{{"items", std::move(*commits)}});
}

Response look(TableSource& source, const Request& request) {
    const auto texts = read_texts(request.body, {"catalog", "table"});
    if (!texts) return error(texts.error());
    const auto text = [&](const std::string& name) { return texts->count(name) > 0 ? texts->at(name) : std::string(); };
    if (const auto status = source.look(text("catalog"), text("table")); !status) return error(status.error());
    return respond(202, json::object{{"state", "accepted"}});
}

Response acknowledge(TableSource& source, const std::string& alarm, const Request& request) {
    const auto texts = read_texts(request.body, {"table", "by", "note"});
    if (!texts) return error(texts.error());
    const auto text = [&](const std::string& name) { return texts->count(name) > 0 ? texts->at(name) : std::string(); };
    if (text("table").empty() || text("by").empty()) {
        return error({ErrorKind::InvalidArgument,
                      "expected a body like {\"table\": \"TABLE\", \"by\": \"NAME\", \"note\": \"…\"}",
                      {},
                      0});
    }
    if (const auto status = source.acknowledge(alarm, text("table"), text("by"), text("note")); !status)
        return error(status.error());
    return respond(200, json::object{{"alarm", alarm}, {"table", text("table")}, {"state", "acknowledged"}});
}

}  // namespace

std::optional<TablePlace> table_place(std::string_view path) {
    using What = TablePlace::What;
    if (path == "/v1/tables") return TablePlace{What::Tables, {}};
    if (path == "/v1/tables-look") return TablePlace{What::Look, {}};
    if (path == "/v1/alarms") return TablePlace{What::Alarms, {}};
    const auto parts = base::split(path, '/');
    if (parts.size() < 4 || parts[1] != "v1") return std::nullopt;
    const std::string name(parts[3]);
    if (parts[2] == "tables" && is_table_name(name)) {
        if (parts.size() == 4) return TablePlace{What::Table, name};
        if (parts.size() == 5 && parts[4] == "commits") return TablePlace{What::Commits, name};
    }
    const bool of_alarm = parts[2] == "alarms" && base::is_name(name) && parts.size() == 5;
    if (of_alarm && parts[4] == "acknowledge") return TablePlace{What::Acknowledge, name};
    return std::nullopt;
}

Response answer_tables(TableSource& source, const TablePlace& place, const Request& request) {
    using What = TablePlace::What;
    const bool post = place.what == What::Look || place.what == What::Acknowledge;
    if (request.method != (post ? "POST" : "GET")) {
        return error(405, base::to_string(ErrorKind::InvalidArgument),
                     fmt::format("{} takes {}, found {}", request.path, post ? "POST" : "GET", request.method));
    }
    switch (place.what) {
        case What::Tables: {
            auto tables = source.tables();
            return tables ? respond(200, json::object{{"items", std::move(*tables)}}) : error(tables.error());
        }
        case What::Table: {
            auto table = source.table(place.name);
            return table ? respond(200, std::move(*table)) : error(table.error());
        }
        case What::Commits:
            return list_commits(source, place.name, request);
        case What::Look:
            return look(source, request);
        case What::Alarms: {
            auto alarms = source.alarms();
            return alarms ? respond(200, json::object{{"items", std::move(*alarms)}}) : error(alarms.error());
        }
        case What::Acknowledge:
            return acknowledge(source, place.name, request);
    }
    return error(404, base::to_string(ErrorKind::NotFound), request.path);
}

}  // namespace signalbox::api
