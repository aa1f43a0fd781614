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
constexpr std::size_t headers_max = 200;
constexpr ErrorKind all_kinds[] = {
    ErrorKind::InvalidArgument, ErrorKind::InvalidConfig,  ErrorKind::CorruptData, ErrorKind::NotSupported,
    ErrorKind::NotFound,        ErrorKind::AlreadyExists,  ErrorKind::Unavailable, ErrorKind::PermissionDenied,
    ErrorKind::Timeout,         ErrorKind::UnknownOutcome, ErrorKind::Conflict,    ErrorKind::Internal,
};

struct Answer {
    Reply reply;
    std::size_t max_bytes = 0;
    bool too_large = false;
};

std::size_t take_body(char* data, std::size_t, std::size_t size, void* user) {
    auto* answer = static_cast<Answer*>(user);
    if (answer->reply.body.size() + size > answer->max_bytes) {
        answer->too_large = true;
        return 0;
    }
    answer->reply.body.append(data, size);
    return size;
}

std::size_t take_header(char* data, std::size_t, std::size_t size, void* user) {
    auto& headers = static_cast<Answer*>(user)->reply.headers;
    const std::string_view line(data, size);
    const std::size_t colon = line.find(':');
    // A status line begins a new head: the one before was only interim (100 Continue).
    if (line.starts_with("HTTP/")) headers.clear();
    if (colon == std::string_view::npos || headers.size() >= headers_max) return size;
    std::string name(line.substr(0, colon));
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    headers[std::move(name)] = std::string(base::trim(line.substr(colon + 1)));
    return size;
}

struct HeaderList {
    HeaderList() = default;
    ~HeaderList() { curl_slist_free_all(list); }
    HeaderList(const HeaderList&) = delete;
    HeaderList& operator=(const HeaderList&) = delete;
    void add(const std::string& line) { list = curl_slist_append(list, line.c_str()); }

    curl_slist* list = nullptr;
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

struct Client::Handle {
    Handle() {
        static std::once_flag once;
        std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
        curl = curl_easy_init();
    }
    ~Handle() { curl_easy_cleanup(curl); }
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;

    CURL* curl = nullptr;
};

Client::Client(std::string base_url, std::string token, ClientOptions options)
    : base_url_(std::move(base_url)), token_(std::move(token)), options_(std::move(options)) {
    while (base_url_.ends_with('/')) base_url_.pop_back();
    if (options_.keep_alive) kept_ = std::make_unique<Handle>();
}

Client::~Client() = default;
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;

base::Result<Reply> Client::request(std::string_view method, std::string_view target, std::string_view body,
                                    base::Duration timeout) const {
    Question question;
    question.method = method;
    question.target = target;
    question.body = body;
    return ask(question, timeout);
}

base::Result<Reply> Client::ask(const Question& question, base::Duration timeout) const {
    const std::unique_ptr<Handle> own = kept_ ? nullptr : std::make_unique<Handle>();
    CURL* curl = kept_ ? kept_->curl : own->curl;
    if (curl == nullptr) return fail(ErrorKind::Internal, "{}: no memory for an HTTP request", base_url_);
    // Keeps the connection, and forgets the last question.
    curl_easy_reset(curl);
    const bool local = base_url_.starts_with(unix_prefix);
    const std::string url = (local ? std::string("http://localhost") : base_url_) + question.target;
    Answer answer;
    answer.max_bytes = question.body_max_bytes;
    if (local) curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, base_url_.c_str() + unix_prefix.size());
    curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    // A proxy from the environment must not come between a user and his own daemon.
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    if (!options_.ca_file.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, options_.ca_file.c_str());
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, question.method.c_str());
    const auto timeout_ms = std::max<long>(1, static_cast<long>(base::to_ms(timeout)));
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, timeout_ms);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, &take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &answer);
    HeaderList headers;
    if (question.method == "HEAD") curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    if (!question.body.empty()) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, question.body.data());
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(question.body.size()));
        headers.add("Content-Type: " + question.content_type);
        headers.add("Expect:");
    }
    bool authorized = token_.empty();
    for (const auto& [name, value] : question.headers) {
        authorized = authorized || name == "Authorization";
        if ((name + value).find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos)
            return fail(ErrorKind::InvalidArgument, "{}: the header '{}' holds a line break", base_url_, name);
        headers.add(fmt::format("{}: {}", name, value));
    }
    if (!authorized) headers.add("Authorization: Bearer " + token_);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.list);

    const CURLcode code = curl_easy_perform(curl);
    if (answer.too_large)
        return fail(ErrorKind::CorruptData, "{}{}: the answer has more than {} bytes", base_url_, question.target,
                    answer.max_bytes);
    if (code != CURLE_OK) return failure(curl, code, base_url_, timeout);
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
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
