#include "adapters/relay/readers.hpp"

#include <algorithm>
#include <tuple>

namespace signalbox::relay {
namespace {

bool takes_newcomers(const ReaderPlace& place, const ReaderChoice& choice) {
    return !place.draining && !place.removed && (choice.barred == nullptr || *choice.barred != *place.member);
}

bool was_tried(const std::shared_ptr<ReaderPlace>& place, const ReaderChoice& choice) {
    return std::find(choice.tried.begin(), choice.tried.end(), place) != choice.tried.end();
}

// Smaller is better.
struct Rank {
    bool tried = false;
    bool failed = false;
    std::uint64_t sessions = 0;
    std::uint32_t weight = 1;
    bool better_than(const Rank& other) const {
        if (tried != other.tried) return other.tried;
        if (failed != other.failed) return other.failed;
        return (sessions + 1) * other.weight < (other.sessions + 1) * weight;
    }
};

}  // namespace

std::shared_ptr<ReaderPlace> choose_reader(const ReaderChoice& choice) {
    std::shared_ptr<ReaderPlace> best;
    Rank best_rank;
    for (std::size_t i = 0; i < choice.places.size(); ++i) {
        const auto& place = choice.places[(choice.turn + i) % choice.places.size()];
        if (!takes_newcomers(*place, choice) || place->connecting >= choice.connecting_max) continue;
        const bool failed =
            place->failed_at.time_since_epoch().count() != 0 && choice.now - place->failed_at < failure_remembered;
        const Rank rank{was_tried(place, choice), failed, place->load->sessions.load(std::memory_order_relaxed),
                        std::max<std::uint32_t>(1, place->weight)};
        if (best && !rank.better_than(best_rank)) continue;
        best = place;
        best_rank = rank;
    }
    return best;
}

bool has_untried_reader(const ReaderChoice& choice) {
    return std::any_of(choice.places.begin(), choice.places.end(),
                       [&](const auto& place) { return takes_newcomers(*place, choice) && !was_tried(place, choice); });
}

void replace_readers(ReaderPlaces& places, const std::vector<SharedTarget>& targets) {
    ReaderPlaces next;
    for (const SharedTarget& shared : targets) {
        const routing::ReaderTarget& target = shared.target;
        const auto same = std::find_if(places.begin(), places.end(), [&](const auto& place) {
            return *place->member == target.member && place->address == target.address;
        });
        auto place = same != places.end() ? *same : std::make_shared<ReaderPlace>();
        if (same == places.end()) {
            place->member = std::make_shared<const std::string>(target.member);
            place->address = target.address;
            place->load = shared.load;
        }
        place->weight = target.weight;
        place->draining = target.draining;
        next.push_back(std::move(place));
    }
    for (const auto& place : places) {
        if (std::find(next.begin(), next.end(), place) == next.end()) place->removed = true;
    }
    places = std::move(next);
}

}  // namespace signalbox::relay
