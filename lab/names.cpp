#include "lab/names.hpp"

namespace signalbox::lab {

void Names::set_address(const std::string& name, Ipv4 address) {
    const std::lock_guard lock(mutex_);
    addresses_[name] = address;
}

void Names::set_alias(const std::string& name, const std::string& target) {
    const std::lock_guard lock(mutex_);
    aliases_[name] = target;
}

void Names::remove(const std::string& name) {
    const std::lock_guard lock(mutex_);
    addresses_.erase(name);
}

Names::Answer Names::look_up(const std::string& name) const {
    const std::lock_guard lock(mutex_);
    Answer answer;
    std::string owner = name;
    if (const auto alias = aliases_.find(name); alias != aliases_.end()) {
        answer.exists = true;
        answer.alias = owner = alias->second;
    }
    if (const auto address = addresses_.find(owner); address != addresses_.end()) {
        answer.exists = true;
        answer.address = address->second;
    }
    return answer;
}

}  // namespace signalbox::lab
