#pragma once
// Questions to one Iceberg REST catalog (Iceberg's REST catalog specification): where its paths begin, who we are, and
// what its refusals mean. Only GET, but for fetching a token.

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "adapters/http/client.hpp"
#include "base/error.hpp"
#include "base/time.hpp"
#include "domain/lake/name_filter.hpp"
#include "ports/table_files.hpp"

namespace signalbox::catalogs {

struct RestConfig {
    std::string name;       // of the catalog, here
    std::string url;        // what stands before /v1
    std::string warehouse;  // empty: the server's own
    // One of these, or neither. Never printed, and sent to nobody but `url` and `token_url`.
    std::string token;          // bearer
    std::string client_id;      // OAuth2 client credentials
    std::string client_secret;  //
    std::string token_url;      // empty: url/v1/oauth/tokens
    std::string scope = "catalog";
    std::string ca_file;  // empty: the system's authorities
    bool allow_outside = false;
    base::Duration timeout = std::chrono::seconds(10);
    lake::NameFilter filter;
};

// "a b/c" is "a%20b%2Fc".
std::string percent_encoded(std::string_view text);
// What a Retry-After header asks for, seconds or a date; at most an hour. nullopt if it is neither.
std::optional<base::Duration> retry_after(std::string_view header, base::WallTime now);
// What an answer of status 300 or more means, by Iceberg's error model. NotFound only where the model says that the
// table or namespace is missing: any other 404 is somebody else's answer.
base::Error refusal(const http::Reply& reply);

class RestSession {
  public:
    using Clock = std::chrono::steady_clock;
    using Headers = std::vector<std::pair<std::string, std::string>>;

    explicit RestSession(RestConfig config);
    ~RestSession();

    // GET of `path` below /v1/PREFIX, for example "/namespaces?parent=a", with an answer of status 200, or 304 where a
    // header made it conditional. A token that the server takes no more is renewed once. While the server has asked for
    // patience (429 or 503 with Retry-After) the answer is Unavailable at once, and nothing is sent.
    base::Result<http::Reply> get(const std::string& path, const Headers& headers, Clock::time_point until);
    // Asks the server how it wants to be asked; once.
    base::Status begin(Clock::time_point until);
    // What joins the levels of a namespace in a path, percent-encoded; "%1F" but where the server says otherwise. Known
    // after begin() or the first get.
    std::string separator() const;
    ports::ReadCounters counters() const { return {requests_, bytes_}; }

  private:
    struct Greeting {
        std::string prefix;  // "" or "/prefix"
        std::string separator = "%1F";
    };
    base::Result<http::Reply> send(const http::Client& client, const http::Question& question, Clock::time_point until);
    base::Result<http::Reply> send_as_us(http::Question question, Clock::time_point until);
    base::Status greet(Clock::time_point until);
    // The token to show; with `stale` a new one, unless another thread has fetched it meanwhile.
    base::Result<std::string> token(const std::string& stale, Clock::time_point until);
    base::Result<std::string> fetch_token(Clock::time_point until);
    base::Status check_patience() const;
    // Without our secrets, whatever the server repeats.
    base::Error cleaned(base::Error error) const;

    const RestConfig config_;
    std::atomic<std::uint64_t> requests_{0};
    std::atomic<std::uint64_t> bytes_{0};

    mutable std::mutex mutex_;  // of what follows
    std::optional<Greeting> greeting_;
    std::vector<std::unique_ptr<http::Client>> idle_;
    Clock::time_point patience_until_{};

    std::mutex token_mutex_;  // of what follows; held while a token is fetched
    std::string token_;
    Clock::time_point token_until_{};
};

}  // namespace signalbox::catalogs
