#pragma once
// The native JSON API: requests in, responses out. Pure: what it knows comes from a Source, so that it can be tested
// with values. docs/reference/api.md is its contract.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/json.hpp"
#include "ports/follow.hpp"
#include "ports/journal.hpp"

namespace signalbox::api {

struct Request {
    std::string method;
    std::string path;
    std::map<std::string, std::string> query;
    std::string authorization;  // the header, whole; never logged
    std::string body;           // bounded by the server
};

struct Response {
    unsigned status = 200;
    std::string content_type = "application/json";
    std::string body;
};

// What the daemon knows. Called from several threads at once; each call returns soon.
class Source {
  public:
    virtual ~Source() = default;
    virtual base::json::object status() = 0;
    virtual std::string metrics() = 0;  // Prometheus text format 0.0.4
    virtual base::Result<std::vector<ports::JournalEntry>> journal(const ports::JournalQuery& query) = 0;
    // Somebody says that something happened. It decides nothing. False: its source says too much, and this is dropped.
    // Errors: NotFound (no such cluster).
    virtual base::Result<bool> event(const ports::ExternalEvent& event) = 0;
    // Begins a planned change of the writer, which goes on after the call. Errors: NotFound (cluster or member),
    // Conflict (one is under way, or that member can't), NotSupported (no hook).
    virtual base::Status switchover(const ports::SwitchoverRequest& request) = 0;
    // An operator has taken note of what a channel lost: those alarms end. NotFound: there is no such channel.
    virtual base::Status acknowledge_channel(const std::string& channel) {
        return base::fail(base::ErrorKind::NotFound, "there is no channel '{}'", channel);
    }
};

class Api {
  public:
    // The token is what a client must send as "Authorization: Bearer TOKEN"; not empty.
    Api(Source& source, std::string token);
    Response answer(const Request& request) const;

  private:
    Response journal(const Request& request) const;
    Response cluster(const std::string& name) const;
    Response switchover(const Request& request, const std::string& cluster) const;
    Response event(const Request& request) const;

    Source& source_;
    const std::string token_;
};

// {"error": {"kind", "message"}} with the status.
Response error(unsigned status, std::string_view kind, std::string_view message);
Response error(const base::Error& error);
// An entry as the API and `signalbox journal --output json` show it.
base::json::object to_json(const ports::JournalEntry& entry);
// Takes as long for a wrong text as for a right one of the same size.
bool equal_in_constant_time(std::string_view a, std::string_view b);

}  // namespace signalbox::api
