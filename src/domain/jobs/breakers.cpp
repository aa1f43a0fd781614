#include "domain/jobs/breakers.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace signalbox::jobs {
namespace {

// Less than this against a place is as good as nothing.
constexpr double badness_least = 0.1;

double badness_of(const BreakerView& view) {
    const double badness = view.failures / (view.failures + view.successes + 1);
    return badness < badness_least && view.state == BreakerState::Closed ? 0 : badness;
}

}  // namespace

std::string_view to_string(BreakerState state) {
    switch (state) {
        case BreakerState::Closed:
            return "closed";
        case BreakerState::Open:
            return "open";
        case BreakerState::HalfOpen:
            break;
    }
    return "half-open";
}

std::string BreakerView::text() const {
    std::string text =
        fmt::format("{}: {:.1f} recent failures against {:.1f} successes", to_string(state), failures, successes);
    if (state == BreakerState::Open) text += "; tried again at " + base::format_time(probe_at);
    return text;
}

Breakers Breakers::of(std::span<const PlaceOutcome> outcomes, BreakerConfig config) {
    Breakers breakers(config);
    for (const PlaceOutcome& outcome : outcomes) breakers.record(outcome);
    return breakers;
}

const Breakers::Evidence* Breakers::find(const Places& places, const std::string& key) {
    const auto found = places.find(key);
    return found == places.end() ? nullptr : &found->second;
}

// What is left of a weight; a clock that jumped back takes nothing away.
double Breakers::decay(const Evidence& evidence, base::WallTime now) const {
    const auto age = std::max(now - evidence.at, base::Duration::zero());
    return std::exp2(-static_cast<double>(age.count()) / static_cast<double>(config_.half_life.count()));
}

base::WallTime Breakers::probe_at(const Evidence& evidence) const {
    base::Duration pause = config_.probe_after;
    for (int i = 0; i < evidence.failed_probes && pause < config_.probe_after_max; ++i) pause *= 2;
    return evidence.failed_at + std::min(pause, config_.probe_after_max);
}

BreakerView Breakers::view(const Evidence* evidence, base::WallTime now) const {
    BreakerView view;
    if (evidence == nullptr) return view;
    const double left = decay(*evidence, now);
    view.failures = evidence->failures * left;
    view.successes = evidence->successes * left;
    if (!evidence->opened || view.failures <= config_.close_at) return view;
    view.probe_at = probe_at(*evidence);
    view.state = now >= view.probe_at ? BreakerState::HalfOpen : BreakerState::Open;
    return view;
}

// Brings the weights to now.
void Breakers::settle(Evidence& evidence, base::WallTime now) const {
    const double left = decay(evidence, now);
    evidence.failures *= left;
    evidence.successes *= left;
    evidence.share_kept *= left;
    evidence.at = std::max(evidence.at, now);
    if (evidence.opened && evidence.failures <= config_.close_at) {
        evidence.opened = false;
        evidence.failed_probes = 0;
    }
}

void Breakers::fail(Evidence& evidence, double weight, base::WallTime now) const {
    const BreakerState before = view(&evidence, now).state;
    settle(evidence, now);
    if (before == BreakerState::HalfOpen) ++evidence.failed_probes;
    // A failure after successes may mean that something has changed: they count half from here on.
    evidence.successes *= 0.5;
    evidence.failures = std::min(evidence.failures + weight, config_.failure_max);
    evidence.failed_at = std::max(evidence.failed_at, now);
    if (evidence.failures - evidence.successes >= config_.open_at) evidence.opened = true;
}

void Breakers::succeed(Evidence& evidence, base::WallTime now) const {
    const BreakerState before = view(&evidence, now).state;
    settle(evidence, now);
    evidence.failures *= 0.5;
    evidence.share_kept *= 0.5;
    evidence.successes = std::min(evidence.successes + 1, config_.success_max);
    // One that started before it opened may end well while the place is down: while open, that alone closes nothing.
    if (before != BreakerState::Open || evidence.failures - evidence.successes < 0) {
        evidence.opened = false;
        evidence.failed_probes = 0;
    }
}

double Breakers::zone_weight(Evidence& evidence, const PlaceOutcome& outcome) const {
    double weight = config_.zone_failure;
    if (*outcome.failure == RetryClass::Connection) {
        const bool first = evidence.last_connection.empty();
        const bool other = outcome.connection != evidence.last_connection || outcome.subnet != evidence.last_subnet;
        weight = config_.zone_share;
        if (first || !other) {
            evidence.share_kept += 1 - config_.zone_share;
        } else if (evidence.share_kept > 0) {
            weight = 1 + evidence.share_kept;
            evidence.share_kept = 0;
        } else {
            weight = 1;
        }
    }
    evidence.last_connection = outcome.connection;
    evidence.last_subnet = outcome.subnet;
    return weight;
}

void Breakers::record(const PlaceOutcome& outcome) {
    if (outcome.failure == RetryClass::Transient || outcome.failure == RetryClass::Permanent) return;
    const std::array places = {&zones_[outcome.zone], &subnets_[outcome.subnet], &connections_[outcome.connection]};
    if (!outcome.failure) {
        for (Evidence* place : places) succeed(*place, outcome.at);
        return;
    }
    Evidence& zone = *places[0];
    settle(zone, outcome.at);
    fail(zone, zone_weight(zone, outcome), outcome.at);
    fail(*places[1], 1, outcome.at);
    fail(*places[2], 1, outcome.at);
}

// One of the three places that a connection is in.
struct Breakers::Moment::Place {
    const char* subject;
    const std::string& name;
    BreakerView view;
    double badness = 0;
    bool probed = false;

    BreakerState state() const { return probed ? BreakerState::Open : view.state; }
    bool worse_than(const Health& health) const {
        const auto rank = [](BreakerState state) {
            return state == BreakerState::Closed ? 0 : state == BreakerState::HalfOpen ? 1 : 2;
        };
        return std::pair(rank(state()), badness) > std::pair(rank(health.state), health.badness);
    }
    Health health() const {
        return {state(), badness,
                probed ? fmt::format("{} '{}' is being tried by a run", subject, name)
                       : fmt::format("{} '{}' {}", subject, name, view.text())};
    }
};

Breakers::Moment::Place Breakers::Moment::look(const char* subject, const std::string& name, const BreakerView& view,
                                               std::string PlaceUse::*used) const {
    Place place{subject, name, view, badness_of(view)};
    place.probed =
        view.state == BreakerState::HalfOpen && std::any_of(in_use_.begin(), in_use_.end(), [&](const PlaceUse& use) {
            return use.*used == name && (use.since == base::WallTime{} || use.since >= view.probe_at);
        });
    return place;
}

Health Breakers::Moment::health(const Connection& connection, const std::string& zone) {
    auto known = zones_.find(zone);
    if (known == zones_.end()) {
        const Place place = look("zone", zone, breakers_.zone(zone, now_), &PlaceUse::zone);
        known = zones_.emplace(zone, place.badness > 0 ? place.health() : Health{}).first;
    }
    const Place subnet =
        look("subnet", connection.subnet, breakers_.subnet(connection.subnet, now_), &PlaceUse::subnet);
    const Place itself =
        look("connection", connection.name, breakers_.connection(connection.name, now_), &PlaceUse::connection);
    const bool by_subnet = subnet.worse_than(known->second);
    // Of equals the larger place tells more.
    if (itself.worse_than(known->second) && (!by_subnet || itself.worse_than({subnet.state(), subnet.badness, {}})))
        return itself.health();
    return by_subnet ? subnet.health() : known->second;
}

Health Breakers::health(const Connection& connection, const std::string& zone, std::span<const PlaceUse> in_use,
                        base::WallTime now) const {
    return Moment(*this, in_use, now).health(connection, zone);
}

}  // namespace signalbox::jobs
