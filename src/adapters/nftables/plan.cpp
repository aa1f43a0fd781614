#include "adapters/nftables/plan.hpp"

#include <algorithm>

#include "base/assert.hpp"

namespace signalbox::kernel {

void Stamps::keep(Stamp stamp) {
    used_.insert(stamp);
    last_ = std::max(last_, stamp & stamp_number_mask);
}

Stamp Stamps::take() {
    // The highest number marks our questions, 0 means nobody.
    constexpr Stamp numbers = stamp_number_mask - 1;
    SB_ASSERT(used_.size() < numbers, "a million stamps are never in use at once");
    do {
        last_ = last_ % numbers + 1;
    } while (used_.contains(owner_ | last_));
    used_.insert(owner_ | last_);
    return owner_ | last_;
}

Door held(Door door) {
    door.admitted = false;
    for (Target& target : door.targets) target.admits = false;
    return door;
}

Door fenced(Door door, std::uint64_t epoch, const std::set<Address>& former, Stamps& stamps) {
    if (door.role == routing::Role::Writer) {
        door = held(std::move(door));
        std::erase_if(door.targets, [&](const Target& target) { return target.epoch != epoch; });
        return door;
    }
    std::erase_if(door.targets,
                  [&](const Target& target) { return former.contains(target.address) && !target.admits; });
    for (Target& target : door.targets) {
        if (former.contains(target.address)) target.stamp = stamps.take();
    }
    return door;
}

Door routed(Door door, std::uint64_t epoch, const std::string& member, const Address& address, Stamps& stamps) {
    std::erase_if(door.targets,
                  [&](const Target& target) { return target.epoch != epoch || target.address != address; });
    if (door.targets.empty()) door.targets.push_back({stamps.take(), epoch, member, address, 100, true});
    door.targets.front().admits = true;
    door.admitted = true;
    return door;
}

Door with_readers(Door door, const std::vector<Reader>& readers, Stamps& stamps) {
    std::vector<Target> targets;
    for (const Reader& reader : readers) {
        const auto known = std::find_if(door.targets.begin(), door.targets.end(),
                                        [&](const Target& target) { return target.address == reader.address; });
        const Stamp stamp = known == door.targets.end() ? stamps.take() : known->stamp;
        targets.push_back({stamp, 0, reader.member, reader.address, reader.weight, !reader.draining});
    }
    door.targets = std::move(targets);
    door.admitted =
        std::any_of(door.targets.begin(), door.targets.end(), [](const Target& target) { return target.admits; });
    return door;
}

std::set<Address> former_writers(const std::vector<Door>& doors, const std::string& cluster, std::uint64_t epoch) {
    std::set<Address> former;
    for (const Door& door : doors) {
        if (door.cluster != cluster || door.role != routing::Role::Writer) continue;
        for (const Target& target : door.targets) {
            if (target.epoch != epoch) former.insert(target.address);
        }
    }
    return former;
}

}  // namespace signalbox::kernel
