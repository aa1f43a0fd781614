#include "adapters/catalogs/rest_session.hpp"

#include <algorithm>
#include <ctime>

#include "adapters/iceberg/metadata_folder.hpp"
#include "base/json.hpp"
#include "base/text.hpp"

namespace signalbox::catalogs {

using base::Error;
using base::ErrorKind;
using base::fail;
using base::Result;
namespace json = base::json;

namespace {

constexpr std::size_t idle_max = 32;
constexpr std::size_t shown_max = 300;
constexpr auto patience_max = std::chrono::hours(1);
// When a token's answer does not say how long it holds.
constexpr auto token_default = std::chrono::minutes(30);

bool is_unreserved(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

// A prefix and a separator come encoded; anything in them that could end the path or the request line does not.
std::string safe_in_path(std::string_view text) {
    std::string safe;
    for (const char c : text)
        safe += is_unreserved(c) || c == '/' || c == '%' ? std::string(1, c) : percent_encoded({&c, 1});
    return safe;
}

std::string one_line(std::string_view text) {
    std::string line(text.substr(0, shown_max));
    for (char& c : line)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
    return line;
}

std::string text_of(const json::object& object, std::string_view key) {
    const json::value* value = object.if_contains(key);
    return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

const json::object* object_of(const json::object& object, std::string_view key) {
    const json::value* value = object.if_contains(key);
    return value != nullptr ? value->if_object() : nullptr;
}

Result<json::object> parse_object(const http::Reply& reply, std::string_view what) {
    auto value = base::parse_json(reply.body);
    if (value && value->is_object()) return std::move(value->as_object());
    return fail(ErrorKind::CorruptData, "the answer to {} is no JSON object: {}", what,
                value ? "it is another value" : value.error().message);
}

struct Address {
    std::string origin;  // "https://host:port"
    std::string target;  // "/path"
};

Address split_url(const std::string& url) {
    const std::size_t scheme = url.find("://");
    const std::size_t slash = url.find('/', scheme == std::string::npos ? 0 : scheme + 3);
    if (slash == std::string::npos) return {url, "/"};
    return {url.substr(0, slash), url.substr(slash)};
}

base::Duration left(RestSession::Clock::time_point until) {
    const auto rest = std::chrono::ceil<std::chrono::milliseconds>(until - RestSession::Clock::now());
    return std::max<base::Duration>(rest, std::chrono::milliseconds(1));
}

std::string without(std::string text, const std::string& secret) {
    if (secret.empty()) return text;
    for (std::size_t at = text.find(secret); at != std::string::npos; at = text.find(secret, at))
        text.replace(at, secret.size(), "…");
    return text;
}

}  // namespace

std::string percent_encoded(std::string_view text) {
    std::string encoded;
    for (const char c : text) {
        if (is_unreserved(c))
            encoded += c;
        else
            encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
    return encoded;
}

std::optional<base::Duration> retry_after(std::string_view header, base::WallTime now) {
    if (const auto seconds = base::parse_uint(base::trim(header))) {
        return std::min<base::Duration>(std::chrono::seconds(std::min<std::uint64_t>(*seconds, 3600)), patience_max);
    }
    std::tm parts{};
    if (::strptime(std::string(header).c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts) == nullptr) return std::nullopt;
    const auto at = base::WallTime(std::chrono::seconds(::timegm(&parts)));
    return std::clamp<base::Duration>(at - now, base::Duration::zero(), patience_max);
}

Error refusal(const http::Reply& reply) {
    Error error{ErrorKind::Unavailable, {}, {}, static_cast<int>(reply.status)};
    std::string type;
    std::string message;
    if (const auto value = base::parse_json(reply.body); value && value->is_object()) {
        const json::object& body = value->as_object();
        if (const json::object* model = object_of(body, "error")) {
            type = text_of(*model, "type");
            message = text_of(*model, "message");
        } else {
            // OAuth2's own model.
            type = text_of(body, "error");
            message = text_of(body, "error_description");
        }
    }
    error.message = fmt::format("HTTP status {}{}{}{}{}", reply.status, type.empty() ? "" : ", ", one_line(type),
                                message.empty() ? "" : ": ", one_line(message));
    const auto says = [&type](std::string_view part) { return type.find(part) != std::string::npos; };
    const unsigned status = reply.status;
    if (status == 401 || status == 403 || status == 419) {
        error.kind = ErrorKind::PermissionDenied;
    } else if (status == 404 && (says("NoSuch") || says("NotFound")) &&
               (says("Table") || says("Namespace") || says("View"))) {
        error.kind = ErrorKind::NotFound;
    } else if (status == 404) {
        error.message += ": is `url` what stands before /v1, and the warehouse's name right?";
    } else if (status == 405 || status == 406 || status == 501) {
        error.kind = ErrorKind::NotSupported;
    } else if (status >= 300 && status < 400) {
        const auto to = reply.headers.find("location");
        error.message += fmt::format(": redirects to '{}', which is not followed: set `url` to it if you trust it",
                                     to == reply.headers.end() ? "" : one_line(to->second));
    }
    return error;
}

RestSession::RestSession(RestConfig config) : config_(std::move(config)) {}
RestSession::~RestSession() = default;

Error RestSession::cleaned(Error error) const {
    error.message = without(without(std::move(error.message), config_.client_secret), config_.token);
    if (error.context.empty()) error.context = fmt::format("catalog '{}'", config_.name);
    return error;
}

std::string RestSession::separator() const {
    const std::lock_guard guard(mutex_);
    return greeting_ ? greeting_->separator : Greeting{}.separator;
}

base::Status RestSession::check_patience() const {
    const std::lock_guard guard(mutex_);
    const auto now = Clock::now();
    if (now >= patience_until_) return {};
    const auto rest = std::chrono::ceil<std::chrono::seconds>(patience_until_ - now);
    return tl::unexpected<Error>(
        Error{ErrorKind::Unavailable, fmt::format("asked for patience, for {} s more", rest.count()), {}, 429});
}

Result<http::Reply> RestSession::send(const http::Client& client, const http::Question& question,
                                      Clock::time_point until) {
    SB_CHECK(check_patience());
    if (Clock::now() >= until) return fail(ErrorKind::Timeout, "no time was left for {}", question.target);
    ++requests_;
    auto asked = client.ask(question, left(until));
    if (!asked) {
        // A question changes nothing, however it ends.
        if (asked.error().kind == ErrorKind::UnknownOutcome)
            asked.error().kind = Clock::now() < until ? ErrorKind::Unavailable : ErrorKind::Timeout;
        return asked;
    }
    http::Reply reply = std::move(*asked);
    bytes_ += reply.body.size();
    if (reply.status == 429 || reply.status == 503) {
        const auto header = reply.headers.find("retry-after");
        const auto now = std::chrono::time_point_cast<base::Duration>(std::chrono::system_clock::now());
        const auto rest = header == reply.headers.end() ? std::nullopt : retry_after(header->second, now);
        const std::lock_guard guard(mutex_);
        if (rest) patience_until_ = std::max(patience_until_, Clock::now() + *rest);
    }
    return reply;
}

Result<std::string> RestSession::fetch_token(Clock::time_point until) {
    const Address address = split_url(config_.token_url.empty() ? config_.url + "/v1/oauth/tokens" : config_.token_url);
    http::Question question;
    question.method = "POST";
    question.target = address.target;
    question.content_type = "application/x-www-form-urlencoded";
    question.body = fmt::format("grant_type=client_credentials&client_id={}&client_secret={}&scope={}",
                                percent_encoded(config_.client_id), percent_encoded(config_.client_secret),
                                percent_encoded(config_.scope));
    const http::Client client(address.origin, {}, {config_.ca_file, false});
    SB_TRY(const http::Reply reply, send(client, question, until));
    if (reply.status != 200) {
        Error error = refusal(reply);
        if (reply.status == 400) error.kind = ErrorKind::PermissionDenied;
        return tl::unexpected<Error>(std::move(error));
    }
    SB_TRY(const json::object answer, parse_object(reply, "the question for a token"));
    const std::string token = text_of(answer, "access_token");
    if (token.empty() || token.find_first_of("\r\n") != std::string::npos)
        return fail(ErrorKind::CorruptData, "the answer to the question for a token has no access_token");
    base::Duration lifetime = token_default;
    if (const json::value* seconds = answer.if_contains("expires_in"); seconds != nullptr && seconds->is_number()) {
        lifetime = std::chrono::seconds(std::clamp<std::int64_t>(seconds->to_number<std::int64_t>(), 1, 86400));
    }
    // Renewed before it ends: what is sent with it must still arrive.
    const base::Duration margin = std::min<base::Duration>(lifetime / 5, std::chrono::minutes(1));
    token_until_ = Clock::now() + lifetime - margin;
    return token;
}

Result<std::string> RestSession::token(const std::string& stale, Clock::time_point until) {
    if (config_.client_id.empty()) return config_.token;
    const std::lock_guard guard(token_mutex_);
    if (!token_.empty() && token_ != stale && Clock::now() < token_until_) return token_;
    auto fresh = fetch_token(until);
    if (!fresh) return base::in_context(std::move(fresh.error()), "no token");
    token_ = *fresh;
    return token_;
}

Result<http::Reply> RestSession::send_as_us(http::Question question, Clock::time_point until) {
    std::unique_ptr<http::Client> client;
    {
        const std::lock_guard guard(mutex_);
        if (!idle_.empty()) {
            client = std::move(idle_.back());
            idle_.pop_back();
        }
    }
    if (!client) client = std::make_unique<http::Client>(config_.url, "", http::ClientOptions{config_.ca_file, true});
    const std::size_t own_headers = question.headers.size();
    SB_TRY(std::string shown, token("", until));
    Result<http::Reply> reply;
    for (int tries = 0; tries < 2; ++tries) {
        question.headers.resize(own_headers);
        if (!shown.empty()) question.headers.emplace_back("Authorization", "Bearer " + shown);
        reply = send(*client, question, until);
        const bool expired = reply && (reply->status == 401 || reply->status == 419);
        if (!expired || tries > 0 || config_.client_id.empty()) break;
        SB_TRY(shown, token(shown, until));
    }
    const std::lock_guard guard(mutex_);
    if (idle_.size() < idle_max) idle_.push_back(std::move(client));
    return reply;
}

base::Status RestSession::greet(Clock::time_point until) {
    {
        const std::lock_guard guard(mutex_);
        if (greeting_) return {};
    }
    http::Question question;
    question.target = "/v1/config";
    if (!config_.warehouse.empty()) question.target += "?warehouse=" + percent_encoded(config_.warehouse);
    SB_TRY(const http::Reply reply, send_as_us(std::move(question), until));
    if (reply.status != 200) {
        Error error = refusal(reply);
        // A warehouse that is missing is no table that was dropped.
        if (error.kind == ErrorKind::NotFound) error.kind = ErrorKind::Unavailable;
        return tl::unexpected<Error>(std::move(error));
    }
    SB_TRY(const json::object answer, parse_object(reply, "/v1/config"));
    Greeting greeting;
    // The server's `uri` is not followed: our token goes where the configuration says.
    for (const char* part : {"defaults", "overrides"}) {
        const json::object* settings = object_of(answer, part);
        if (settings == nullptr) continue;
        if (std::string prefix = text_of(*settings, "prefix"); !prefix.empty())
            greeting.prefix = "/" + safe_in_path(prefix);
        if (std::string separator = text_of(*settings, "namespace-separator"); !separator.empty())
            greeting.separator = safe_in_path(separator);
    }
    const std::lock_guard guard(mutex_);
    greeting_ = std::move(greeting);
    return {};
}

base::Status RestSession::begin(Clock::time_point until) {
    if (auto greeted = greet(until); !greeted) return tl::unexpected<Error>(cleaned(std::move(greeted.error())));
    return {};
}

Result<http::Reply> RestSession::get(const std::string& path, const Headers& headers, Clock::time_point until) {
    SB_CHECK(begin(until));
    http::Question question;
    {
        const std::lock_guard guard(mutex_);
        question.target = fmt::format("/v1{}{}", greeting_->prefix, path);
    }
    question.headers = headers;
    question.headers.emplace_back("Accept", "application/json");
    question.body_max_bytes = iceberg::metadata_max_bytes;
    auto reply = send_as_us(std::move(question), until);
    if (!reply) return tl::unexpected<Error>(cleaned(std::move(reply.error())));
    if (reply->status == 200 || reply->status == 304) return reply;
    return tl::unexpected<Error>(cleaned(refusal(*reply)));
}

}  // namespace signalbox::catalogs
