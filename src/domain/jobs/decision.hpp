#pragma once
// Which connection an attempt uses, and why not the others: a pure function of checked candidates, health and time.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/fault.hpp"
#include "base/json.hpp"
#include "domain/jobs/breakers.hpp"
#include "domain/jobs/job.hpp"

namespace signalbox::jobs {

// One connection of the job with everything that the checks found.
struct Candidate {
    Connection connection;
    std::string network;
    std::string zone;
    std::string way_out;
    std::uint64_t free_addresses = 0;       // as the provider says
    std::uint64_t available = 0;            // minus those reserved for other starting runs
    std::uint64_t coming_back = 0;          // held by ended runs' interfaces, which the subnet will get back
    std::optional<base::WallTime> back_at;  // when these are expected, by what was learned of the subnet
    std::vector<base::Fault> faults;
    Health health;
    std::uint64_t size = 0;  // addresses that the subnet has in all; 0: not known
    friend bool operator==(const Candidate&, const Candidate&) = default;
};

enum class Usability { FullSize, UnderCapacity, Unusable };
std::string_view to_string(Usability usability);

// An earlier attempt of this run that failed.
struct Tried {
    std::string connection;
    std::string subnet;
    std::string zone;
    RetryClass retry = RetryClass::Connection;
    friend bool operator==(const Tried&, const Tried&) = default;
};

// What a strategy program answered: names in its order, or why there is no answer.
struct ProgramAnswer {
    std::vector<std::string> names;
    std::string fault;  // empty if it answered
    friend bool operator==(const ProgramAnswer&, const ProgramAnswer&) = default;
};

// Everything that a decision depends on: the same input gives the same decision, byte for byte.
struct DecisionInput {
    Job job;
    std::vector<Candidate> candidates;  // in the job's order
    base::WallTime at{};
    base::WallTime facts_at{};
    std::uint64_t seed = 0;  // for `random` and ties: of the run's id and attempt
    std::vector<Tried> tried;
    base::WallTime deciding_since{};       // when the attempt could first be decided: full_size_wait counts from here
    std::optional<ProgramAnswer> program;  // for Strategy::Program; nothing: it was not asked
    friend bool operator==(const DecisionInput&, const DecisionInput&) = default;
};

struct Ranked {
    Candidate candidate;
    Usability usability = Usability::Unusable;
    std::uint64_t nodes = 0;       // with how many nodes the run would start here; 0 if unusable
    bool despite_signals = false;  // used although a signal or a breaker speaks against it: none would be left else
    std::string why;               // what put it where it is in the order, for people; empty if nothing special
};

struct Decision {
    Strategy strategy = Strategy::Ordered;  // that was really used: a program that failed is `ordered`
    std::string fallback;                   // why the job's own strategy was not used; empty if it was
    base::WallTime at{};
    base::WallTime facts_at{};
    std::uint64_t nodes_wanted = 0;
    std::vector<Ranked> candidates;     // in the job's order
    std::vector<std::size_t> order;     // all of them, as the strategy orders them: usable ones, the rest, unmanaged
    std::optional<std::size_t> chosen;  // index into candidates; nothing: start nothing now
    // Set: not now; decide again at the latest then, and sooner when addresses or places have changed. Only `resilient`
    // waits, and never beyond the job's full_size_wait.
    std::optional<base::WallTime> wait_until;
    std::string reason;  // one line for people

    const Ranked* choice() const { return chosen ? &candidates[*chosen] : nullptr; }
};

// A candidate is usable if no fault of severity unusable stands against it and it has addresses for workers_min nodes
// (and for two, or one for a job of one node). Faults that rest on signals never rule out all: if they leave none, the
// candidates with no other fault are used (fail open).
//
// The orders are those of docs/adr/0010. `resilient` never rules out by breakers or by what was tried either: it
// prefers, in this order, what no signal, no open breaker and no earlier failure of this run speaks against; full size;
// closed breakers to half-open ones (the other way round for the first attempt of a low-risk job); after a transient
// failure the same connection; more nodes; less against it; as listed. It waits, within full_size_wait, while time may
// bring addresses that make a better choice: at full size, or where less speaks against it.
Decision decide(const DecisionInput& input);
// The same; the candidates are moved into the decision.
Decision decide(DecisionInput&& input);

base::json::object to_json(const Decision& decision);
// The input, for the journal, and back: all that a decision depends on, and so without the job's environment, which may
// hold secrets. Errors: CorruptData with the field.
base::json::object to_json(const DecisionInput& input);
base::Result<DecisionInput> parse_decision_input(const base::json::value& value);

}  // namespace signalbox::jobs
