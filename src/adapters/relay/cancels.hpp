#pragma once
// Which member a PostgreSQL session with a cancel key runs on: a CancelRequest comes on a connection of its own, maybe
// to another shard, and means nothing to any other member.

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "base/text.hpp"
#include "wire/postgres/startup.hpp"

namespace signalbox::relay {

struct CancelTarget {
    std::shared_ptr<const std::string> member;
    base::HostPort address;
    std::uint64_t epoch = 0;  // of the session
};

// Thread-safe. Holds one entry per running session that is not encrypted.
class CancelDirectory {
  public:
    using Key = std::pair<std::string, wire::postgres::CancelKey>;  // with the cluster: its members share no keys

    void add(const Key& key, CancelTarget target) {
        const std::lock_guard guard(mutex_);
        targets_[key] = std::move(target);
    }
    void remove(const Key& key) {
        const std::lock_guard guard(mutex_);
        targets_.erase(key);
    }
    std::optional<CancelTarget> find(const Key& key) const {
        const std::lock_guard guard(mutex_);
        const auto found = targets_.find(key);
        if (found == targets_.end()) return std::nullopt;
        return found->second;
    }

  private:
    mutable std::mutex mutex_;
    std::map<Key, CancelTarget> targets_;
};

}  // namespace signalbox::relay
