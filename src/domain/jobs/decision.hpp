#pragma once
// Which connection a run uses, and why not the others: a pure function of checked candidates.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/fault.hpp"
#include "base/json.hpp"
#include "domain/jobs/job.hpp"

namespace signalbox::jobs {

// One connection of the job with everything that the checks found.
struct Candidate {
    Connection connection;
    std::string network;
    std::string zone;
    std::string way_out;
    std::uint64_t free_addresses = 0;  // as the provider says
    std::uint64_t available = 0;       // minus those promised to other starting runs
    std::vector<base::Fault> faults;
};

enum class Usability { FullSize, UnderCapacity, Unusable };
std::string_view to_string(Usability usability);

struct Ranked {
    Candidate candidate;
    Usability usability = Usability::Unusable;
    std::uint64_t nodes = 0;       // with how many nodes the run would start here; 0 if unusable
    bool despite_signals = false;  // used although a signal speaks against it: none would be left else
};

struct Decision {
    Strategy strategy = Strategy::Ordered;
    base::WallTime at{};
    base::WallTime facts_at{};
    std::uint64_t nodes_wanted = 0;
    std::vector<Ranked> candidates;     // in the job's order
    std::optional<std::size_t> chosen;  // index into candidates
    std::string reason;                 // one line for people

    const Ranked* choice() const { return chosen ? &candidates[*chosen] : nullptr; }
};

// A candidate is usable if no fault of severity unusable stands against it. Faults that rest on signals alone never
// rule out all: if they leave none, the candidates with no other fault are used (fail open). `ordered`: the first
// usable one.
Decision decide(const Job& job, std::vector<Candidate> candidates, base::WallTime facts_at, base::WallTime now);

base::json::object to_json(const Decision& decision);

}  // namespace signalbox::jobs
