#pragma once
// The members that a reader endpoint's clients may go to, as one shard sees them, and who gets the next client.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "domain/routing/endpoint.hpp"

namespace signalbox::relay {

// What the shards share of one target of one endpoint.
struct TargetLoad {
    std::atomic<std::uint64_t> sessions{0};  // chosen, connecting or running, of all shards
};

struct SharedTarget {
    routing::ReaderTarget target;
    std::shared_ptr<TargetLoad> load;
};

// One shard's view of a target. Outlives its place in the set while sessions hold it.
struct ReaderPlace {
    std::shared_ptr<const std::string> member;
    base::HostPort address;
    std::uint32_t weight = 100;
    bool draining = false;
    bool removed = false;  // in the set no more
    std::shared_ptr<TargetLoad> load;
    std::size_t connecting = 0;                         // of this shard
    std::chrono::steady_clock::time_point failed_at{};  // the last connect that failed
};

using ReaderPlaces = std::vector<std::shared_ptr<ReaderPlace>>;

// A target whose last connect failed so recently is tried after all others.
constexpr auto failure_remembered = std::chrono::seconds(1);

struct ReaderChoice {
    const ReaderPlaces& places;
    const ReaderPlaces& tried;            // by this client, in vain
    const std::string* barred = nullptr;  // a member that gets nobody now
    std::size_t connecting_max = 1;       // connects under way for each target
    std::chrono::steady_clock::time_point now{};
    std::size_t turn = 0;  // where to begin, for ties to be dealt out in turn
};

// The place with the smallest (sessions + 1) / weight among those that take newcomers; untried and unfailed ones go
// before others. Nothing if none can take one now.
std::shared_ptr<ReaderPlace> choose_reader(const ReaderChoice& choice);

// Is there one that takes newcomers and that the client has not tried?
bool has_untried_reader(const ReaderChoice& choice);

// The new set in place of the old: targets that stay as they were (member and address) keep their place, others are
// marked removed.
void replace_readers(ReaderPlaces& places, const std::vector<SharedTarget>& targets);

}  // namespace signalbox::relay
