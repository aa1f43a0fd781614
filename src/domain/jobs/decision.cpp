#include "domain/jobs/decision.hpp"

#include <algorithm>
#include <tuple>
#include <unordered_map>

#include "base/prng.hpp"

namespace signalbox::jobs {
namespace {

using base::Severity;

// The fault of an attachment that time can heal, by its stable name in the catalogue of faults.
constexpr std::string_view no_free_addresses = "no-free-addresses";
// What a program named wrongly is told so often, and so long.
constexpr std::size_t remarks_shown_max = 5;
constexpr std::size_t name_shown_max = 64;
constexpr std::uint64_t nodes_compared_max = 0xffffffff;

// What speaks against a place and is yet no reason never to use it, the weightier the higher.
enum Against : unsigned { tried_before = 1, breaker_open = 2, signalled = 4 };

struct Judged {
    bool sound = false;            // nothing but addresses, signals, breakers and earlier attempts speaks against it
    unsigned against = 0;          // Against
    std::size_t tried_last = 0;    // number of the last attempt that failed there, from 1
    bool again = false;            // the last attempt failed there by something transient
    std::uint64_t nodes_most = 0;  // that its subnet could bear if all its addresses were free
};

// The candidates are in the decision; those of the input may have been moved there.
struct Decider {
    const DecisionInput& input;
    Decision decision;
    std::vector<Judged> judged;
    std::uint64_t least = 1;  // nodes with which the run may start
    std::size_t usable = 0;   // of decision.order, those at its front that are

    void judge();
    void judge_tried(const Candidate& candidate, Judged& of) const;
    void rank();
    void arrange();
    void order_random();
    void order_capacity();
    void order_resilient();
    void order_program();
    bool worth_waiting() const;
    void wait_or_choose();
    std::string why(std::size_t index) const;
    std::string choice_reason() const;
    std::string wait_reason(base::WallTime deadline) const;
    bool resilient() const { return decision.strategy == Strategy::Resilient; }
    const Candidate& candidate(std::size_t i) const { return decision.candidates[i].candidate; }
};

std::string connections_text(std::size_t count) { return fmt::format("{} connection{}", count, count == 1 ? "" : "s"); }

void Decider::judge() {
    const auto workers = static_cast<std::uint64_t>(std::max(input.job.workers, 1));
    const auto workers_min = static_cast<std::uint64_t>(std::max(input.job.workers_min, 1));
    decision.nodes_wanted = workers;
    least = std::max(std::min<std::uint64_t>(workers, 2), std::min(workers, workers_min));
    judged.resize(decision.candidates.size());
    for (std::size_t i = 0; i < judged.size(); ++i) {
        const Candidate& candidate = this->candidate(i);
        Judged& of = judged[i];
        of.sound = candidate.connection.managed;
        for (const base::Fault& fault : candidate.faults) {
            if (fault.severity != Severity::Unusable) continue;
            if (fault.signal) {
                of.against |= signalled;
            } else if (fault.name != no_free_addresses) {
                of.sound = false;
            }
        }
        of.nodes_most = candidate.size == 0 ? workers : std::min(workers, candidate.size);
        if (!resilient()) continue;
        if (candidate.health.state == BreakerState::Open) of.against |= breaker_open;
        judge_tried(candidate, of);
    }
}

void Decider::judge_tried(const Candidate& candidate, Judged& of) const {
    for (std::size_t i = 0; i < input.tried.size(); ++i) {
        const Tried& tried = input.tried[i];
        const bool same = tried.connection == candidate.connection.name;
        if (tried.retry == RetryClass::Transient) {
            of.again = same && i + 1 == input.tried.size();
        } else if (same || (tried.retry == RetryClass::Zone && tried.zone == candidate.zone)) {
            of.against |= tried_before;
            of.tried_last = i + 1;
        }
    }
}

void Decider::rank() {
    const auto fits = [&](std::size_t i) { return judged[i].sound && candidate(i).available >= least; };
    bool any = false;
    for (std::size_t i = 0; i < judged.size() && !any; ++i) any = fits(i) && (judged[i].against & signalled) == 0;
    for (std::size_t i = 0; i < judged.size(); ++i) {
        const bool by_signal = (judged[i].against & signalled) != 0;
        if (!fits(i) || (any && by_signal)) continue;
        Ranked& ranked = decision.candidates[i];
        ranked.nodes = std::min(decision.nodes_wanted, ranked.candidate.available);
        ranked.usability = ranked.nodes < decision.nodes_wanted ? Usability::UnderCapacity : Usability::FullSize;
        ranked.despite_signals = by_signal;
    }
}

// All in their old order: the usable ones, the others, those that are not managed.
void Decider::arrange() {
    std::vector<std::size_t>& order = decision.order;
    order.reserve(judged.size());
    for (std::size_t i = 0; i < judged.size(); ++i)
        if (decision.candidates[i].usability != Usability::Unusable) order.push_back(i);
    usable = order.size();
    for (const bool managed : {true, false}) {
        for (std::size_t i = 0; i < judged.size(); ++i) {
            const Ranked& ranked = decision.candidates[i];
            if (ranked.usability == Usability::Unusable && ranked.candidate.connection.managed == managed)
                order.push_back(i);
        }
    }
}

void Decider::order_random() {
    base::Prng prng(input.seed);
    const auto begin = decision.order.begin();
    const auto end = begin + static_cast<std::ptrdiff_t>(usable);
    const auto good_end = std::stable_partition(
        begin, end, [&](std::size_t i) { return decision.candidates[i].usability == Usability::FullSize; });
    const auto shuffle = [&](auto first, auto last) {
        for (auto left = static_cast<std::uint64_t>(last - first); left > 1; --left)
            std::swap(first[static_cast<std::ptrdiff_t>(left - 1)],
                      first[static_cast<std::ptrdiff_t>(prng.below(left))]);
    };
    shuffle(begin, good_end);
    shuffle(good_end, end);
}

void Decider::order_capacity() {
    const auto begin = decision.order.begin();
    std::stable_sort(begin, begin + static_cast<std::ptrdiff_t>(usable),
                     [&](std::size_t a, std::size_t b) { return candidate(a).available > candidate(b).available; });
}

// Places are compared by the first number, then by what speaks against them, then as listed.
struct Key {
    std::uint64_t rank = 0;
    double badness = 0;
    std::size_t index = 0;
    friend auto operator<=>(const Key&, const Key&) = default;  // NOLINT(modernize-use-nullptr): a false finding
};

void Decider::order_resilient() {
    const bool probes = input.job.low_risk && input.tried.empty();
    const auto state_rank = [&](BreakerState state) -> std::uint64_t {
        if (state == BreakerState::HalfOpen) return probes ? 0 : 2;
        return state == BreakerState::Closed ? 1 : 3;
    };
    // From the weightiest to the lightest, each in bits that hold it.
    const auto rank_of = [&](std::size_t i) {
        const Ranked& ranked = decision.candidates[i];
        const std::uint64_t missing = std::min(decision.nodes_wanted - ranked.nodes, nodes_compared_max);
        std::uint64_t rank = judged[i].against;
        rank = rank << 1 | (ranked.usability == Usability::FullSize ? 0U : 1U);
        rank = rank << 2 | state_rank(ranked.candidate.health.state);
        rank = rank << 16 | std::min<std::uint64_t>(judged[i].tried_last, 0xffff);
        rank = rank << 1 | (judged[i].again ? 0U : 1U);
        return rank << 32 | missing;
    };
    std::vector<Key> keys;
    keys.reserve(usable);
    for (std::size_t at = 0; at < usable; ++at) {
        const std::size_t i = decision.order[at];
        keys.push_back({rank_of(i), candidate(i).health.badness, i});
    }
    std::sort(keys.begin(), keys.end());
    for (std::size_t at = 0; at < usable; ++at) decision.order[at] = keys[at].index;
}

// A name as it may be shown: whatever the program wrote, on one line and not too long.
std::string shown(std::string_view name) {
    std::string text(name.substr(0, name_shown_max));
    for (char& letter : text)
        if (static_cast<unsigned char>(letter) < 0x20 || static_cast<unsigned char>(letter) > 0x7e) letter = '?';
    return text + (name.size() > name_shown_max ? "…" : "");
}

void Decider::order_program() {
    const auto fall_back = [&](std::string why) {
        decision.strategy = Strategy::Ordered;
        decision.fallback = std::move(why);
    };
    if (!input.program) return fall_back("the strategy program was not asked");
    if (!input.program->fault.empty()) return fall_back("the strategy program: " + input.program->fault);
    std::unordered_map<std::string_view, std::size_t> by_name;
    for (std::size_t i = 0; i < judged.size(); ++i) by_name.emplace(candidate(i).connection.name, i);
    std::vector<std::size_t> order;
    std::vector<bool> placed(judged.size(), false);
    std::vector<std::string> remarks;
    std::size_t wrong = 0;
    const auto remark = [&](const std::string& name, const char* what) {
        if (++wrong <= remarks_shown_max) remarks.push_back(fmt::format("'{}' {}", shown(name), what));
    };
    for (const std::string& name : input.program->names) {
        const auto found = by_name.find(name);
        if (found == by_name.end()) {
            remark(name, "is no connection of the job");
        } else if (placed[found->second]) {
            remark(name, "was named before");
        } else if (decision.candidates[found->second].usability == Usability::Unusable) {
            remark(name, "is not usable");
        } else {
            placed[found->second] = true;
            order.push_back(found->second);
        }
    }
    std::string said = base::join(remarks, ", ");
    if (wrong > remarks_shown_max) said += fmt::format(" and {} more", wrong - remarks_shown_max);
    if (order.empty()) {
        return fall_back("the strategy program named no usable connection" + (said.empty() ? "" : ": " + said));
    }
    for (const std::size_t i : decision.order)
        if (!placed[i]) order.push_back(i);
    decision.order = std::move(order);
    if (!said.empty()) decision.reason = "skipped of the program's answer: " + said;
}

// Can time bring a better choice than the best there is?
bool Decider::worth_waiting() const {
    const std::size_t none = judged.size();
    const std::size_t best = usable > 0 ? decision.order.front() : none;
    for (const Judged& of : judged) {
        if (!of.sound || of.nodes_most < least) continue;
        if (best == none || of.against < judged[best].against) return true;
        if (of.against == judged[best].against && of.nodes_most > decision.candidates[best].nodes) return true;
    }
    return false;
}

void Decider::wait_or_choose() {
    const auto deadline = input.deciding_since + input.job.full_size_wait;
    // A clock that went back behind the start of the wait ends it: how long it has lasted is not known.
    const bool in_time = input.deciding_since <= input.at && input.at < deadline;
    if (resilient() && in_time && worth_waiting()) {
        base::WallTime until = deadline;
        for (std::size_t i = 0; i < judged.size(); ++i) {
            const Candidate& candidate = this->candidate(i);
            if (judged[i].sound && candidate.coming_back > 0 && candidate.back_at && *candidate.back_at > input.at)
                until = std::min(until, *candidate.back_at);
        }
        decision.wait_until = until;
        decision.reason = wait_reason(deadline);
        return;
    }
    if (usable > 0) {
        decision.chosen = decision.order.front();
        if ((judged[*decision.chosen].against & breaker_open) != 0)
            decision.candidates[*decision.chosen].despite_signals = true;
    }
    const std::string skipped = std::move(decision.reason);
    decision.reason = choice_reason();
    if (!skipped.empty()) decision.reason += "; " + skipped;
    if (!decision.fallback.empty()) decision.reason += "; as listed, since " + decision.fallback;
}

std::string Decider::wait_reason(base::WallTime deadline) const {
    std::string reason = "waits until " + base::format_time(deadline) + " at the latest: ";
    if (usable == 0) return reason + "no connection has the addresses to start now";
    const Ranked& best = decision.candidates[decision.order.front()];
    if (best.usability == Usability::UnderCapacity) {
        return reason + fmt::format("the best place now, '{}', has room for {} of {} nodes",
                                    best.candidate.connection.name, best.nodes, decision.nodes_wanted);
    }
    return reason + fmt::format("only '{}' has addresses now, and much speaks against it: {}",
                                best.candidate.connection.name, best.why);
}

std::string Decider::choice_reason() const {
    const Ranked* choice = decision.choice();
    const std::string count = connections_text(judged.size());
    if (choice == nullptr) return fmt::format("none of {} is usable", count);
    const std::string& name = choice->candidate.connection.name;
    std::string reason;
    switch (decision.strategy) {
        case Strategy::Ordered:
            reason = fmt::format("'{}' is the first usable of {}", name, count);
            break;
        case Strategy::Random:
            reason = fmt::format("'{}' was drawn from {}", name, count);
            break;
        case Strategy::Capacity:
            reason = fmt::format("'{}' has the most addresses of {}", name, count);
            break;
        case Strategy::Resilient:
            reason = fmt::format("'{}' is the best place of {}", name, count);
            break;
        case Strategy::Program:
            reason = fmt::format("'{}' is the program's first usable of {}", name, count);
            break;
    }
    if (choice->usability == Usability::UnderCapacity)
        reason += fmt::format(", with {} of {} nodes", choice->nodes, decision.nodes_wanted);
    if (choice->despite_signals) {
        const bool by_signal = (judged[*decision.chosen].against & signalled) != 0;
        reason += by_signal ? ", although its zone is reported impaired: no other is left"
                            : ", although its breaker is open: no other is left";
    }
    return reason;
}

std::string Decider::why(std::size_t index) const {
    const Candidate& candidate = this->candidate(index);
    const Judged& of = judged[index];
    if (!candidate.connection.managed) return "not managed: kept last, never chosen";
    std::string why;
    const auto say = [&](const std::string& text) { why += why.empty() ? text : "; " + text; };
    if (!of.sound) return why;
    if (candidate.available < least && least > 2) {
        say(fmt::format("{} addresses available; the job starts with no fewer than {} nodes", candidate.available,
                        least));
    }
    if (of.nodes_most < least) say(fmt::format("its subnet has {} addresses in all", candidate.size));
    if (!resilient()) return why;
    if (!candidate.health.reason.empty()) say(candidate.health.reason);
    if (of.tried_last > 0) say(fmt::format("attempt {} of this run failed there", of.tried_last - 1));
    if (of.again) say("the last attempt failed there by something transient");
    return why;
}

Decision decide_among(const DecisionInput& input, std::vector<Candidate> candidates) {
    Decider decider{input, {}, {}};
    Decision& decision = decider.decision;
    decision.strategy = input.job.strategy;
    decision.at = input.at;
    decision.facts_at = input.facts_at;
    decision.candidates.reserve(candidates.size());
    for (Candidate& candidate : candidates) decision.candidates.emplace_back().candidate = std::move(candidate);
    decider.judge();
    decider.rank();
    decider.arrange();
    switch (input.job.strategy) {
        case Strategy::Ordered:
            break;
        case Strategy::Random:
            decider.order_random();
            break;
        case Strategy::Capacity:
            decider.order_capacity();
            break;
        case Strategy::Resilient:
            decider.order_resilient();
            break;
        case Strategy::Program:
            decider.order_program();
            break;
    }
    for (std::size_t i = 0; i < decision.candidates.size(); ++i) decision.candidates[i].why = decider.why(i);
    decider.wait_or_choose();
    return std::move(decider.decision);
}

}  // namespace

std::string_view to_string(Usability usability) {
    switch (usability) {
        case Usability::FullSize:
            return "usable";
        case Usability::UnderCapacity:
            return "under capacity";
        case Usability::Unusable:
            break;
    }
    return "unusable";
}

Decision decide(const DecisionInput& input) { return decide_among(input, input.candidates); }

Decision decide(DecisionInput&& input) {
    std::vector<Candidate> candidates = std::move(input.candidates);
    return decide_among(input, std::move(candidates));
}

}  // namespace signalbox::jobs
