#include "api/api.hpp"

#include "base/assert.hpp"
#include "base/text.hpp"

namespace signalbox::api {
namespace {

namespace json = base::json;
using base::ErrorKind;

constexpr std::uint64_t limit_default = 100;
constexpr std::uint64_t limit_max = 100'000;

Response ok(const json::value& body) { return {200, "application/json", json::serialize(body) + "\n"}; }

Response bad_parameter(std::string_view name, std::string_view expected, std::string_view found) {
    return error(400, base::to_string(ErrorKind::InvalidArgument),
                 fmt::format("{}: expected {}, found '{}'", name, expected, found));
}

}  // namespace

bool equal_in_constant_time(std::string_view a, std::string_view b) {
    unsigned difference = a.size() == b.size() ? 0U : 1U;
    for (std::size_t i = 0; i < a.size(); ++i) {
        difference |= static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(i < b.size() ? b[i] : '\0');
    }
    return difference == 0;
}

Response error(unsigned status, std::string_view kind, std::string_view message) {
    return {status, "application/json",
            json::serialize(json::value{{"error", {{"kind", kind}, {"message", message}}}}) + "\n"};
}

json::object to_json(const ports::JournalEntry& entry) {
    json::object object{{"sequence", entry.sequence},
                        {"at", base::format_time(entry.at)},
                        {"kind", entry.kind},
                        {"subject", entry.subject}};
    if (entry.epoch != 0) object["epoch"] = entry.epoch;
    if (!entry.run.empty()) object["run"] = entry.run;
    object["data"] = entry.data;
    return object;
}

Api::Api(Source& source, std::string token) : source_(source), token_(std::move(token)) {
    SB_ASSERT(!token_.empty(), "an API without a token would be open to everybody");
}

Response Api::answer(const Request& request) const {
    const bool open = request.path == "/v1/health";
    if (!open && !equal_in_constant_time(request.authorization, "Bearer " + token_)) {
        return error(401, base::to_string(ErrorKind::PermissionDenied),
                     "expected the header 'Authorization: Bearer TOKEN' with the token from the daemon's token file");
    }
    const bool known =
        open || request.path == "/v1/status" || request.path == "/v1/journal" || request.path == "/metrics";
    if (!known) {
        return error(
            404, base::to_string(ErrorKind::NotFound),
            fmt::format("there is no {}; there are /v1/health, /v1/status, /v1/journal, /metrics", request.path));
    }
    if (request.method != "GET") {
        return error(405, base::to_string(ErrorKind::InvalidArgument),
                     fmt::format("{} takes GET, found {}", request.path, request.method));
    }
    if (open) return ok({{"status", "ok"}});
    if (request.path == "/v1/status") return ok(source_.status());
    if (request.path == "/metrics") return {200, "text/plain; version=0.0.4; charset=utf-8", source_.metrics()};
    return journal(request);
}

Response Api::journal(const Request& request) const {
    ports::JournalQuery query;
    query.limit = limit_default;
    for (const auto& [name, value] : request.query) {
        if (name == "subject") {
            query.subject = value;
        } else if (name == "kind") {
            query.kind = value;
        } else if (name == "run") {
            query.run = value;
        } else if (name == "order") {
            if (value != "oldest" && value != "newest") return bad_parameter(name, "oldest or newest", value);
            query.newest_first = value == "newest";
        } else if (name == "after") {
            const auto after = base::parse_int(value);
            if (!after || *after < 0) return bad_parameter(name, "a sequence number from 0", value);
            query.after = *after;
        } else if (name == "limit") {
            const auto limit = base::parse_uint(value);
            if (!limit || *limit < 1 || *limit > limit_max)
                return bad_parameter(name, fmt::format("a number from 1 to {}", limit_max), value);
            query.limit = *limit;
        } else {
            return bad_parameter("query", "subject, kind, run, after, limit or order", name);
        }
    }
    const auto entries = source_.journal(query);
    if (!entries) return error(503, base::to_string(entries.error().kind), entries.error().text());
    json::array items;
    std::int64_t last = query.after;
    for (const auto& entry : *entries) {
        items.push_back(to_json(entry));
        last = std::max(last, entry.sequence);
    }
    return ok({{"items", std::move(items)}, {"last", last}});
}

}  // namespace signalbox::api
