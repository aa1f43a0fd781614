#include "api/api.hpp"

#include "api/event.hpp"
#include "api/jobs.hpp"
#include "api/tables.hpp"
#include "base/assert.hpp"
#include "base/text.hpp"

namespace signalbox::api {
namespace {

namespace json = base::json;
using base::ErrorKind;

constexpr std::uint64_t limit_default = 100;
constexpr std::uint64_t limit_max = 100'000;

Response ok(const json::value& body) { return {200, "application/json", json::serialize(body) + "\n"}; }

Response accepted(const json::value& body) { return {202, "application/json", json::serialize(body) + "\n"}; }

Response bad_parameter(std::string_view name, std::string_view expected, std::string_view found) {
    return error(400, base::to_string(ErrorKind::InvalidArgument),
                 fmt::format("{}: expected {}, found '{}'", name, expected, found));
}

unsigned status_of(ErrorKind kind) {
    switch (kind) {
        case ErrorKind::InvalidArgument:
        case ErrorKind::InvalidConfig:
        case ErrorKind::CorruptData:
            return 400;
        case ErrorKind::PermissionDenied:
            return 403;
        case ErrorKind::NotFound:
            return 404;
        case ErrorKind::AlreadyExists:
        case ErrorKind::Conflict:
            return 409;
        case ErrorKind::NotSupported:
            return 501;
        case ErrorKind::Unavailable:
            return 503;
        case ErrorKind::Timeout:
            return 504;
        case ErrorKind::UnknownOutcome:
        case ErrorKind::Internal:
            return 500;
    }
    return 500;
}

enum class What { Nothing, Health, Status, Metrics, Journal, Cluster, Switchover, Events, Acknowledge };

struct Place {
    What what = What::Nothing;
    std::string cluster;  // or the channel
};

Place place_of(std::string_view path) {
    if (path == "/v1/health") return {What::Health, {}};
    if (path == "/v1/status") return {What::Status, {}};
    if (path == "/v1/journal") return {What::Journal, {}};
    if (path == "/v1/events") return {What::Events, {}};
    if (path == "/metrics") return {What::Metrics, {}};
    const auto parts = base::split(path, '/');
    const bool of_cluster = parts.size() >= 4 && parts[1] == "v1" && parts[2] == "clusters" && base::is_name(parts[3]);
    if (of_cluster && parts.size() == 4) return {What::Cluster, std::string(parts[3])};
    if (of_cluster && parts.size() == 5 && parts[4] == "switchover") return {What::Switchover, std::string(parts[3])};
    const bool of_channel = parts.size() == 5 && parts[1] == "v1" && parts[2] == "channels" && base::is_name(parts[3]);
    if (of_channel && parts[4] == "acknowledge") return {What::Acknowledge, std::string(parts[3])};
    return {};
}

json::array items(const json::object& object, std::string_view name) {
    const auto* value = object.if_contains(name);
    return value != nullptr && value->is_array() ? value->get_array() : json::array();
}

// The text, or an empty one.
std::string name_in(const json::value& value, std::string_view name) {
    const auto* object = value.if_object();
    const auto* found = object != nullptr ? object->if_contains(name) : nullptr;
    return found != nullptr && found->is_string() ? std::string(found->get_string()) : std::string();
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

Response error(const base::Error& found) {
    return error(status_of(found.kind), base::to_string(found.kind), found.text());
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
    const Place place = place_of(request.path);
    if (place.what != What::Health && !equal_in_constant_time(request.authorization, "Bearer " + token_)) {
        return error(401, base::to_string(ErrorKind::PermissionDenied),
                     "expected the header 'Authorization: Bearer TOKEN' with the token from the daemon's token file");
    }
    if (const auto jobs = job_place(request.path)) {
        if (JobSource* source = source_.job_source()) return answer_jobs(*source, *jobs, request);
        return error({ErrorKind::NotFound, "this daemon's configuration has no provider to run jobs on", {}, 0});
    }
    if (const auto tables = table_place(request.path)) {
        if (TableSource* source = source_.table_source()) return answer_tables(*source, *tables, request);
        return error({ErrorKind::NotFound, "this daemon's configuration has no catalogs to watch", {}, 0});
    }
    if (place.what == What::Nothing) {
        return error(
            404, base::to_string(ErrorKind::NotFound),
            fmt::format("there is no {}; there are /v1/health, /v1/status, /v1/clusters/NAME, "
                        "/v1/clusters/NAME/switchover, /v1/channels/NAME/acknowledge, /v1/events, /v1/jobs, "
                        "/v1/jobs/NAME/runs, /v1/jobs/NAME/pause, /v1/jobs/NAME/resume, /v1/runs/ID, "
                        "/v1/runs/ID/stop, /v1/tables, /v1/tables/NAME, /v1/tables/NAME/commits, /v1/tables-look, "
                        "/v1/alarms, /v1/alarms/NAME/acknowledge, /v1/journal, /metrics",
                        request.path));
    }
    const bool takes_post =
        place.what == What::Switchover || place.what == What::Events || place.what == What::Acknowledge;
    const std::string_view method = takes_post ? "POST" : "GET";
    if (request.method != method) {
        return error(405, base::to_string(ErrorKind::InvalidArgument),
                     fmt::format("{} takes {}, found {}", request.path, method, request.method));
    }
    switch (place.what) {
        case What::Health:
            return ok({{"status", "ok"}});
        case What::Status:
            return ok(source_.status());
        case What::Metrics:
            return {200, "text/plain; version=0.0.4; charset=utf-8", source_.metrics()};
        case What::Journal:
            return journal(request);
        case What::Cluster:
            return cluster(place.cluster);
        case What::Switchover:
            return switchover(request, place.cluster);
        case What::Events:
            return event(request);
        case What::Acknowledge:
            if (const auto done = source_.acknowledge_channel(place.cluster); !done) return error(done.error());
            return ok({{"channel", place.cluster}, {"state", "acknowledged"}});
        case What::Nothing:
            break;
    }
    return error(404, base::to_string(ErrorKind::NotFound), request.path);
}

// The cluster as the status has it, with its endpoints.
Response Api::cluster(const std::string& name) const {
    const json::object status = source_.status();
    std::vector<std::string> names;
    for (const auto& item : items(status, "clusters")) {
        names.push_back(name_in(item, "name"));
        if (names.back() != name) continue;
        json::object found = item.as_object();
        json::array endpoints;
        for (const auto& endpoint : items(status, "endpoints")) {
            if (name_in(endpoint, "cluster") == name) endpoints.push_back(endpoint);
        }
        found["endpoints"] = std::move(endpoints);
        return ok(found);
    }
    return error({ErrorKind::NotFound,
                  fmt::format("the daemon follows no cluster '{}'; it follows {}", name,
                              names.empty() ? "none" : base::join(names, ", ")),
                  {},
                  0});
}

Response Api::switchover(const Request& request, const std::string& cluster) const {
    const auto body = base::parse_json(request.body);
    const auto* object = body && body->is_object() ? &body->get_object() : nullptr;
    const std::string to = object != nullptr ? name_in(*body, "to") : std::string();
    if (object == nullptr || object->size() != 1 || !base::is_name(to)) {
        return error(
            {ErrorKind::InvalidArgument, "expected a body like {\"to\": \"MEMBER\"}, and nothing else in it", {}, 0});
    }
    const auto begun = source_.switchover({cluster, to});
    if (!begun) return error(begun.error());
    return accepted({{"cluster", cluster}, {"to", to}, {"state", "accepted"}});
}

Response Api::event(const Request& request) const {
    std::string cluster;
    for (const auto& [name, value] : request.query) {
        if (name != "cluster") return bad_parameter("query", "cluster", name);
        cluster = value;
    }
    const auto event = read_event(request.body, cluster);
    if (!event) return error(event.error());
    const auto taken = source_.event(*event);
    if (!taken) return error(taken.error());
    if (!*taken) {
        return error(429, base::to_string(ErrorKind::Unavailable),
                     fmt::format("more than {} events per second from '{}': dropped, and nothing is lost by that: the "
                                 "members are probed all the time",
                                 EventLimit::per_second, event->source));
    }
    return accepted({{"cluster", event->cluster}});
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
