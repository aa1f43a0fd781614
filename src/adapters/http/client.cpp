#include "adapters/http/client.hpp"

#include <algorithm>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <cctype>
#include <curl/curl.h>
#include <memory>
#include <mutex>

#include "base/text.hpp"

namespace signalbox::http {
namespace {

using base::ErrorKind;
using base::fail;

constexpr std::string_view unix_prefix = "unix:";
constexpr std::size_t headers_max = 256;
constexpr ErrorKind all_kinds[] = {
    ErrorKind::InvalidArgument, ErrorKind::InvalidConfig,  ErrorKind::CorruptData, ErrorKind::NotSupported,
    ErrorKind::NotFound,        ErrorKind::AlreadyExists,  ErrorKind::Unavailable, ErrorKind::PermissionDenied,
    ErrorKind::Timeout,         ErrorKind::UnknownOutcome, ErrorKind::Conflict,    ErrorKind::Internal,
};

struct Answer {
    Reply reply;
    std::size_t body_max_bytes = 0;
    bool too_large = false;
};

std::size_t take_body(char* data, std::size_t, std::size_t size, void* user) {
    auto* answer = static_cast<Answer*>(user);
    if (answer->reply.body.size() + size > answer->body_max_bytes) {
        answer->too_large = true;
        return 0;
    }
    answer->reply.body.append(data, size);
    return size;
}

std::size_t take_header(char* data, std::size_t, std::size_t size, void* user) {
    auto& headers = static_cast<Answer*>(user)->reply.headers;
    const std::string_view line(data, size);
    // Those of an interim answer (100) go before the final ones.
    if (line.starts_with("HTTP/")) headers.clear();
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || headers.size() >= headers_max) return size;
    std::string name(base::trim(line.substr(0, colon)));
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char letter) { return std::tolower(letter); });
    headers[name] = std::string(base::trim(line.substr(colon + 1)));
    return size;
}

struct Curl {
    Curl() {
        static std::once_flag once;
        std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
        handle = curl_easy_init();
    }
    ~Curl() {
        curl_slist_free_all(headers);
        curl_easy_cleanup(handle);
    }
    Curl(const Curl&) = delete;
    Curl& operator=(const Curl&) = delete;
    void header(const std::string& line) { headers = curl_slist_append(headers, line.c_str()); }

    CURL* handle = nullptr;
    curl_slist* headers = nullptr;
};

tl::unexpected<base::Error> failure(CURL* handle, CURLcode code, const std::string& where, base::Duration timeout) {
    curl_off_t connect_us = 0;
    curl_easy_getinfo(handle, CURLINFO_CONNECT_TIME_T, &connect_us);
    long request_bytes = 0;
    curl_easy_getinfo(handle, CURLINFO_REQUEST_SIZE, &request_bytes);
    if (request_bytes > 0)
        return fail(ErrorKind::UnknownOutcome, "{}: the request was sent, but no whole answer came within {}: {}",
                    where, base::format_duration(timeout), curl_easy_strerror(code));
    if (code == CURLE_OPERATION_TIMEDOUT)
        return fail(ErrorKind::Timeout, "{}: no connection within {}", where, base::format_duration(timeout));
    return fail(ErrorKind::Unavailable, "{}: {}", where, curl_easy_strerror(code));
}

}  // namespace

Client::Client(std::string base_url, std::string token, std::string tls_ca_file)
    : base_url_(std::move(base_url)), token_(std::move(token)), tls_ca_file_(std::move(tls_ca_file)) {
    while (base_url_.ends_with('/')) base_url_.pop_back();
}

base::Result<Reply> Client::request(std::string_view method, std::string_view target, std::string_view body,
                                    base::Duration timeout) const {
    return send({method, target, body, timeout});
}

base::Result<Reply> Client::send(const Call& call) const {
    Curl curl;
    if (!curl.handle) return fail(ErrorKind::Internal, "{}: no memory for an HTTP request", base_url_);
    const bool local = base_url_.starts_with(unix_prefix);
    const std::string url = (local ? std::string("http://localhost") : base_url_) + std::string(call.target);
    const std::string verb(call.method);
    Answer answer;
    answer.body_max_bytes = call.answer_max_bytes;
    if (local) curl_easy_setopt(curl.handle, CURLOPT_UNIX_SOCKET_PATH, base_url_.c_str() + unix_prefix.size());
    curl_easy_setopt(curl.handle, CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl.handle, CURLOPT_PROTOCOLS_STR, "http,https");
    if (!tls_ca_file_.empty()) curl_easy_setopt(curl.handle, CURLOPT_CAINFO, tls_ca_file_.c_str());
    // A proxy from the environment must not come between a user and his own daemon.
    curl_easy_setopt(curl.handle, CURLOPT_PROXY, "");
    curl_easy_setopt(curl.handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl.handle, CURLOPT_CUSTOMREQUEST, verb.c_str());
    const auto timeout_ms = std::max<long>(1, static_cast<long>(base::to_ms(call.timeout)));
    curl_easy_setopt(curl.handle, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(curl.handle, CURLOPT_CONNECTTIMEOUT_MS, timeout_ms);
    curl_easy_setopt(curl.handle, CURLOPT_WRITEFUNCTION, &take_body);
    curl_easy_setopt(curl.handle, CURLOPT_WRITEDATA, &answer);
    curl_easy_setopt(curl.handle, CURLOPT_HEADERFUNCTION, &take_header);
    curl_easy_setopt(curl.handle, CURLOPT_HEADERDATA, &answer);
    if (verb == "HEAD") curl_easy_setopt(curl.handle, CURLOPT_NOBODY, 1L);
    if (!call.body.empty()) {
        curl_easy_setopt(curl.handle, CURLOPT_POSTFIELDS, call.body.data());
        curl_easy_setopt(curl.handle, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(call.body.size()));
        curl.header(fmt::format("Content-Type: {}", call.content_type));
        curl.header("Expect:");
    }
    if (!token_.empty()) curl.header("Authorization: Bearer " + token_);
    for (const auto& [name, value] : call.headers) {
        const std::string line = fmt::format("{}: {}", name, value);
        if (line.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos)
            return fail(ErrorKind::InvalidArgument, "{}: the header '{}' holds a line break", base_url_, name);
        curl.header(line);
    }
    curl_easy_setopt(curl.handle, CURLOPT_HTTPHEADER, curl.headers);

    const CURLcode code = curl_easy_perform(curl.handle);
    if (answer.too_large)
        return fail(ErrorKind::CorruptData, "{}: the answer has more than {} bytes", base_url_, call.answer_max_bytes);
    if (code != CURLE_OK) return failure(curl.handle, code, base_url_, call.timeout);
    long status = 0;
    curl_easy_getinfo(curl.handle, CURLINFO_RESPONSE_CODE, &status);
    answer.reply.status = static_cast<unsigned>(status);
    return std::move(answer.reply);
}

base::Result<base::json::value> Client::call(std::string_view method, std::string_view target,
                                             const base::json::value& body, base::Duration timeout) const {
    const std::string text = body.is_null() ? std::string() : base::json::serialize(body);
    SB_TRY(const Reply reply, request(method, target, text, timeout));
    auto value =
        reply.body.empty() ? base::Result<base::json::value>(base::json::value()) : base::parse_json(reply.body);
    if (reply.status < 400) {
        if (!value) return base::in_context(value.error(), base_url_);
        return value;
    }
    base::Error error{ErrorKind::Internal, fmt::format("HTTP status {}", reply.status), base_url_, 0};
    error.code = static_cast<int>(reply.status);
    const auto* object = value && value->is_object() ? value->as_object().if_contains("error") : nullptr;
    if (object && object->is_object()) {
        const auto* kind = object->as_object().if_contains("kind");
        const auto* message = object->as_object().if_contains("message");
        if (message && message->is_string()) {
            error.message = std::string(message->as_string());
            error.context.clear();
        }
        for (const ErrorKind candidate : all_kinds)
            if (kind && kind->is_string() && kind->as_string() == base::to_string(candidate)) error.kind = candidate;
    }
    return tl::unexpected<base::Error>(std::move(error));
}

base::Result<base::json::value> Client::get(std::string_view target, base::Duration timeout) const {
    return call("GET", target, nullptr, timeout);
}

base::Result<std::pair<std::string, std::string>> split_url(std::string_view url) {
    const auto parsed = boost::urls::parse_uri(url);
    if (!parsed || (parsed->scheme() != "http" && parsed->scheme() != "https") || parsed->host().empty())
        return fail(ErrorKind::InvalidArgument, "expected a URL like https://host:port/path");
    if (parsed->has_userinfo() || parsed->has_fragment())
        return fail(ErrorKind::InvalidArgument, "expected a URL without a user, a password and a fragment");
    const std::string target(parsed->encoded_target());
    return std::pair(
        fmt::format("{}://{}", std::string_view(parsed->scheme()), std::string_view(parsed->encoded_host_and_port())),
        target.starts_with('/') ? target : "/" + target);
}

std::optional<base::Duration> parse_retry_after(std::string_view text, base::WallTime now) {
    constexpr std::int64_t seconds_max = 10LL * 365 * 24 * 3600;
    text = base::trim(text);
    if (const auto seconds = base::parse_int(text)) {
        if (*seconds < 0 || *seconds > seconds_max) return std::nullopt;
        return std::chrono::seconds(*seconds);
    }
    const std::time_t date = curl_getdate(std::string(text).c_str(), nullptr);
    if (date < 0 || date > seconds_max * 20) return std::nullopt;
    return base::WallTime(std::chrono::seconds(date)) - now;
}

}  // namespace signalbox::http
