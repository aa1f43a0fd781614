#include "domain/routing/readers.hpp"

#include <algorithm>

namespace signalbox::routing {
namespace {

constexpr int steps = 9;  // from a tenth of a share to a whole one
constexpr std::uint32_t weight_first = 10, weight_whole = 100;

}  // namespace

ReaderPool::Use ReaderPool::use_of(const ReaderFact& fact, bool alone) const {
    const auto before = known_.find(fact.member);
    const bool was_target = before != known_.end();
    if (fact.presence == Presence::Away) return Use::Out;
    if (!fact.role) return Use::Out;
    if (fact.presence == Presence::Unsure) return was_target ? Use::Draining : Use::Out;
    if (*fact.role == Role::Writer) {
        if (config_.include_writer == IncludeWriter::Always) return Use::Usable;
        if (config_.include_writer == IncludeWriter::Never) return Use::Out;
        if (alone) return Use::Usable;
        return was_target ? Use::Draining : Use::Out;
    }
    if (!config_.max_lag) return Use::Usable;
    if (!fact.lag) return Use::Draining;
    const bool was_usable = was_target && before->second.usable_since;
    const base::Duration limit = was_usable || !was_target ? *config_.max_lag : *config_.max_lag * 4 / 5;
    return *fact.lag <= limit ? Use::Usable : Use::Draining;
}

ReaderTarget ReaderPool::target(const ReaderFact& fact, Use use, base::MonoTime now) {
    Known& known = known_[fact.member];
    ReaderTarget out{fact.member, fact.address, weight_whole, use == Use::Draining};
    if (use == Use::Draining) {
        known.usable_since.reset();
        out.weight = weight_first;
        return out;
    }
    if (!known.usable_since) known.usable_since = now;
    const base::Duration age = now - *known.usable_since;
    if (age >= config_.slow_start) return out;
    const auto step = age * steps / config_.slow_start;
    out.weight = weight_first + static_cast<std::uint32_t>(step) * (weight_whole - weight_first) / steps;
    // Rounded up, so that the step is due when it is looked at.
    const base::MonoTime next =
        *known.usable_since + (config_.slow_start * (step + 1) + base::Duration(steps - 1)) / steps;
    next_change_ = next_change_ ? std::min(*next_change_, next) : next;
    return out;
}

std::vector<ReaderTarget> ReaderPool::update(const std::vector<ReaderFact>& facts, base::MonoTime now) {
    next_change_.reset();
    bool alone = true;
    for (const ReaderFact& fact : facts) {
        const bool reader = fact.role == Role::Reader && fact.presence == Presence::Answers;
        if (reader && use_of(fact, false) == Use::Usable) alone = false;
    }
    std::vector<ReaderTarget> targets;
    for (const ReaderFact& fact : facts) {
        const Use use = use_of(fact, alone);
        if (use != Use::Out) targets.push_back(target(fact, use, now));
    }
    std::erase_if(known_, [&](const auto& known) {
        return std::none_of(targets.begin(), targets.end(),
                            [&](const ReaderTarget& target) { return target.member == known.first; });
    });
    return targets;
}

}  // namespace signalbox::routing
