#include "api/event.hpp"

#include <algorithm>

#include "base/json.hpp"
#include "base/text.hpp"

namespace signalbox::api {
namespace {

namespace json = base::json;
using base::ErrorKind;
using base::fail;

constexpr std::size_t word_max_bytes = 128;
constexpr std::size_t text_max_bytes = 500;

std::string bounded(std::string_view text, std::size_t size_max) {
    std::size_t size = std::min(text.size(), size_max);
    // Not in the middle of a character: UTF-8 continues with 10xxxxxx.
    while (size < text.size() && size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0U) == 0x80U) --size;
    std::string shown(text.substr(0, size));
    std::replace_if(
        shown.begin(), shown.end(), [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }, ' ');
    return shown;
}

// Numbers are taken for texts, too: many senders number their events.
base::Result<std::string> field(const json::object& object, std::string_view name, std::size_t size_max) {
    const auto* value = object.if_contains(name);
    if (value == nullptr || value->is_null()) return std::string();
    if (value->is_string()) return bounded(value->get_string(), size_max);
    if (value->is_int64() || value->is_uint64()) return json::serialize(*value);
    return fail(ErrorKind::InvalidArgument, "{}: expected a text", name);
}

base::Result<ports::ExternalEvent> read_plain(const json::object& body) {
    ports::ExternalEvent event;
    SB_TRY(event.cluster, field(body, "cluster", word_max_bytes));
    SB_TRY(event.source, field(body, "source", word_max_bytes));
    SB_TRY(event.id, field(body, "id", word_max_bytes));
    SB_TRY(event.kind, field(body, "kind", word_max_bytes));
    SB_TRY(event.text, field(body, "text", text_max_bytes));
    return event;
}

base::Result<ports::ExternalEvent> read_rds(const json::object& body, const json::object& detail) {
    ports::ExternalEvent event;
    SB_TRY(event.cluster, field(detail, "SourceIdentifier", word_max_bytes));
    SB_TRY(event.source, field(body, "source", word_max_bytes));
    SB_TRY(event.id, field(body, "id", word_max_bytes));
    SB_TRY(event.kind, field(detail, "EventID", word_max_bytes));
    if (event.kind.empty()) {
        SB_TRY(event.kind, field(body, "detail-type", word_max_bytes));
    }
    SB_TRY(event.text, field(detail, "Message", text_max_bytes));
    return event;
}

}  // namespace

base::Result<ports::ExternalEvent> read_event(std::string_view body, const std::string& cluster) {
    if (body.size() > event_body_max_bytes)
        return fail(ErrorKind::InvalidArgument, "an event has at most {} bytes, found {}", event_body_max_bytes,
                    body.size());
    const auto parsed = base::parse_json(body);
    if (!parsed) return fail(ErrorKind::InvalidArgument, "the body is not JSON: {}", parsed.error().text());
    if (!parsed->is_object())
        return fail(ErrorKind::InvalidArgument, "expected an object like {{\"cluster\": \"orders\"}}");
    const auto& object = parsed->get_object();
    const auto* detail = object.if_contains("detail");
    SB_TRY(ports::ExternalEvent event, detail != nullptr && detail->is_object() && object.contains("detail-type")
                                           ? read_rds(object, detail->get_object())
                                           : read_plain(object));
    if (!cluster.empty()) event.cluster = cluster;
    if (!base::is_name(event.cluster))
        return fail(ErrorKind::InvalidArgument, "cluster: expected the name of a cluster, found '{}'",
                    bounded(event.cluster, word_max_bytes));
    event.source = event.source.empty() ? "webhook" : "webhook:" + event.source;
    return event;
}

bool EventLimit::take(Bucket& bucket, double rate, base::MonoTime now) {
    const double passed_s = base::to_ms(now - bucket.filled) / 1000;
    bucket.tokens = std::min(rate, bucket.tokens + std::max(0.0, passed_s) * rate);
    bucket.filled = std::max(bucket.filled, now);
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
}

bool EventLimit::allow(const std::string& source, base::MonoTime now) {
    constexpr double rate = per_second;
    // One that was silent for a second has all its tokens: nothing is lost by forgetting it.
    if (buckets_.size() >= sources_max && !buckets_.contains(source)) {
        std::erase_if(buckets_,
                      [&](const auto& entry) { return now - entry.second.filled >= std::chrono::seconds(1); });
    }
    const bool apart = buckets_.size() < sources_max || buckets_.contains(source);
    Bucket& bucket = buckets_.try_emplace(apart ? source : std::string(), Bucket{rate, now}).first->second;
    return take(bucket, rate, now) && take(all_, 4 * rate, now);
}

}  // namespace signalbox::api
