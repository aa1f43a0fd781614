#pragma once
// The native JSON API: requests in, responses out. Pure: what it knows comes from a Source, so that it can be tested
// with values. docs/reference/api.md is its contract.

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/json.hpp"
#include "ports/follow.hpp"
#include "ports/journal.hpp"
#include "ports/lake_store.hpp"

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

// A new run that a client asks for.
struct RunRequest {
    std::string job;
    std::vector<std::pair<std::string, std::string>> arguments;
    std::string key;     // of the client's own; empty: none
    bool force = false;  // also if the job is paused
};
struct RunStarted {
    base::json::object run;
    bool created = true;  // false: the key's run was there already
};

// What a daemon with a provider knows of jobs. As with Source: several threads, and each call returns soon: what is to
// be done is stored, and done by whoever drives runs.
class JobSource {
  public:
    virtual ~JobSource() = default;
    virtual base::json::array jobs() = 0;
    // Newest first. NotFound: no such job.
    virtual base::Result<base::json::array> runs(const std::string& job, std::size_t limit) = 0;
    // NotFound: no such job. Conflict: the key stands for other arguments, or the job is paused.
    virtual base::Result<RunStarted> start_run(const RunRequest& request) = 0;
    virtual base::Result<base::json::object> run(const std::string& id) = 0;
    // Conflict: it has ended, and no further attempt follows.
    virtual base::Result<base::json::object> stop_run(const std::string& id) = 0;
    // The pause that stands now, as JSON. NotFound: no such job.
    virtual base::Result<base::json::object> pause_job(const std::string& job, const std::string& reason) = 0;
    // NotFound: no such job. Conflict: it is not paused.
    virtual base::Result<base::json::object> resume_job(const std::string& job) = 0;
};

// What a daemon with catalogs knows of tables and their alarms. As with Source: several threads, each call returns
// soon.
class TableSource {
  public:
    virtual ~TableSource() = default;
    virtual base::Result<base::json::array> tables() = 0;
    // NotFound: nothing is known of such a table.
    virtual base::Result<base::json::object> table(const std::string& name) = 0;
    // NotFound, if the query's table is not known.
    virtual base::Result<base::json::array> commits(const ports::CommitQuery& query) = 0;
    // Somebody says that a table may have changed (empty: any of the catalog's, or of all): a hint, no more. NotFound:
    // no such catalog.
    virtual base::Status look(const std::string& catalog, const std::string& table) = 0;
    virtual base::Result<base::json::array> alarms() = 0;
    // NotFound; Conflict: it is not in ALARM.
    virtual base::Status acknowledge(const std::string& alarm, const std::string& table, const std::string& by,
                                     const std::string& note) = 0;
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
    // Null: there is no provider to run jobs on.
    virtual JobSource* job_source() { return nullptr; }
    // Null: there are no catalogs to watch.
    virtual TableSource* table_source() { return nullptr; }
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
