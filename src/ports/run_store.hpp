#pragma once
// Where runs are kept, and who may drive one.

#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/time.hpp"
#include "domain/jobs/run.hpp"
#include "ports/journal.hpp"

namespace signalbox::ports {

struct RunQuery {
    std::string job{};        // empty: all
    std::string id_prefix{};  // empty: all
    bool active_only = false;
    std::size_t limit = 1000;  // 1–100,000; the newest are returned
};

class RunStore {
  public:
    virtual ~RunStore() = default;
    // Stores a new run with its journal entries, durable before it returns. AlreadyExists.
    virtual base::Status insert(const jobs::Run& run, const std::vector<JournalEntry>& entries) = 0;
    // Stores the next state of a run together with its journal entries, all or nothing, and sets run.version to the new
    // one. Conflict if the stored version is not run.version: somebody else moved it, and nothing must be done by the
    // caller's picture of it.
    virtual base::Status save(jobs::Run& run, const std::vector<JournalEntry>& entries, Durability durability) = 0;
    // Errors: NotFound.
    virtual base::Result<jobs::Run> load(const std::string& id) = 0;
    // Newest first.
    virtual base::Result<std::vector<jobs::Run>> list(const RunQuery& query) = 0;

    // Takes or renews the lease on a thing (a run's id; "decide") for `owner` until now + time. False if somebody else
    // who is alive holds it. A holder whose process is gone holds nothing.
    virtual base::Result<bool> acquire(const std::string& thing, const std::string& owner, base::WallTime now,
                                       base::Duration time) = 0;
    virtual base::Status release(const std::string& thing, const std::string& owner) = 0;
};

}  // namespace signalbox::ports
