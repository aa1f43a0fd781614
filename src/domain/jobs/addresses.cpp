#include "domain/jobs/addresses.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "domain/jobs/json_fields_internal.hpp"

namespace signalbox::jobs {
namespace {

namespace json = base::json;

constexpr std::array<std::string_view, 3> kinds = {"starting", "held", "lingering"};
constexpr double upper_share = 0.9;

// Interfaces by either of their names.
class Interfaces {
  public:
    explicit Interfaces(std::span<const InterfaceSeen> interfaces) {
        for (const InterfaceSeen& interface : interfaces) {
            if (!interface.token.empty()) by_token_.emplace(interface.token, &interface);
            if (!interface.address.empty()) by_place_.insert(interface.subnet + " " + interface.address);
        }
    }
    bool has(const AddressRow& row) const {
        return by_token_.contains(row.token) ||
               (!row.address.empty() && by_place_.contains(row.subnet + " " + row.address));
    }
    std::string address(const AddressRow& row) const {
        const auto found = by_token_.find(row.token);
        return found == by_token_.end() ? row.address : found->second->address;
    }

  private:
    std::unordered_map<std::string_view, const InterfaceSeen*> by_token_;
    std::unordered_set<std::string> by_place_;
};

void become(AddressRow& row, AddressKind kind, base::WallTime since) {
    row.kind = kind;
    row.since = since;
}

}  // namespace

std::string_view to_string(AddressKind kind) { return kinds.at(static_cast<std::size_t>(kind)); }

std::optional<AddressKind> parse_address_kind(std::string_view text) {
    const auto found = std::find(kinds.begin(), kinds.end(), text);
    if (found == kinds.end()) return std::nullopt;
    return static_cast<AddressKind>(found - kinds.begin());
}

void LingerMemory::learn(const std::string& subnet, base::Duration lasted, base::WallTime at) {
    std::vector<Sample>& samples = subnets_[subnet];
    if (samples.size() == samples_max) samples.erase(samples.begin());
    samples.push_back({at, std::clamp(lasted, base::Duration::zero(), linger_max)});
}

LingerView LingerMemory::view(const std::string& subnet, base::WallTime now) const {
    const auto found = subnets_.find(subnet);
    if (found == subnets_.end() || found->second.empty()) return {};
    std::vector<std::pair<base::Duration, double>> weighed;
    double weights = 0;
    double sum = 0;
    // Relative to the newest, so that a subnet that was not used for long keeps what was learned last.
    const base::WallTime newest = std::min(now, found->second.back().at);
    for (const Sample& sample : found->second) {
        const auto age = std::max(newest - sample.at, base::Duration::zero());
        const double weight = std::exp2(-static_cast<double>(age.count()) / static_cast<double>(half_life.count()));
        weighed.emplace_back(sample.lasted, weight);
        weights += weight;
        sum += weight * static_cast<double>(sample.lasted.count());
    }
    std::sort(weighed.begin(), weighed.end());
    LingerView view{base::Duration(std::llround(sum / weights)), weighed.back().first};
    double below = 0;
    for (const auto& [lasted, weight] : weighed) {
        below += weight;
        if (below < upper_share * weights) continue;
        view.upper = lasted;
        break;
    }
    return view;
}

json::object LingerMemory::to_json() const {
    json::object subnets;
    for (const auto& [subnet, samples] : subnets_) {
        json::array array;
        for (const Sample& sample : samples)
            array.push_back(json::object{{"at", exact_time(sample.at)}, {"lasted_ns", sample.lasted.count()}});
        subnets[subnet] = std::move(array);
    }
    return {{"subnets", std::move(subnets)}};
}

base::Result<LingerMemory> LingerMemory::parse(const json::value& value) {
    Fields fields(value, "memory of lingering interfaces");
    const json::object* subnets = fields.value("subnets").if_object();
    if (subnets == nullptr) fields.wrong("subnets");
    SB_CHECK(fields.status());
    LingerMemory memory;
    for (const auto& member : *subnets) {
        Fields subnet(fields.value("subnets"), "memory of lingering interfaces");
        const std::string name(member.key());
        for (const json::value& element : subnet.array(name.c_str())) {
            Fields sample(element, "time that an interface lingered");
            const auto at = sample.time("at");
            const auto lasted = sample.integer("lasted_ns");
            if (lasted < 0) sample.wrong("lasted_ns");
            SB_CHECK(sample.status());
            memory.learn(name, base::Duration(lasted), at);
        }
        SB_CHECK(subnet.status());
    }
    return memory;
}

AddressLedger::AddressLedger(std::vector<AddressRow> rows, LingerMemory memory)
    : rows_(std::move(rows)), memory_(std::move(memory)) {
    for (const AddressRow& row : rows_) add(row);
}

void AddressLedger::add(const AddressRow& row) {
    tokens_.insert(row.token);
    if (row.kind == AddressKind::Starting || row.since > facts_at_) ++subnets_[row.subnet].reserved;
    if (row.kind == AddressKind::Lingering) subnets_[row.subnet].ended.push_back(row.since);
}

void AddressLedger::reserve(const std::string& run, const std::string& subnet, std::span<const std::string> tokens,
                            base::WallTime now) {
    for (const std::string& token : tokens) {
        if (tokens_.contains(token)) continue;
        rows_.push_back({token, run, subnet, AddressKind::Starting, now, {}});
        add(rows_.back());
    }
}

void AddressLedger::settle(std::span<const NodeSeen> nodes, std::span<const InterfaceSeen> interfaces,
                           base::WallTime facts_at) {
    std::unordered_map<std::string_view, const NodeSeen*> by_token;
    for (const NodeSeen& node : nodes) by_token.emplace(node.token, &node);
    const Interfaces seen(interfaces);
    const auto kept = [&](AddressRow& row) {
        if (row.kind == AddressKind::Lingering) {
            if (facts_at < row.since || seen.has(row)) return true;
            memory_.learn(row.subnet, facts_at - row.since, facts_at);
            return false;
        }
        const auto found = by_token.find(row.token);
        const NodeSeen* node = found == by_token.end() ? nullptr : found->second;
        if (node != nullptr && row.address.empty()) row.address = node->address;
        if (node == nullptr || node->dropped) {
            if (!seen.has(row)) return false;
            become(row, AddressKind::Lingering, facts_at);
        } else if (node->ended_at) {
            if (facts_at < *node->ended_at) return true;
            if (!seen.has(row)) {
                // It was gone when it was first looked for.
                memory_.learn(row.subnet, base::Duration::zero(), facts_at);
                return false;
            }
            become(row, AddressKind::Lingering, *node->ended_at);
        } else if (row.kind == AddressKind::Starting && seen.has(row) && node->started_at &&
                   facts_at >= *node->started_at) {
            row.address = seen.address(row);
            become(row, AddressKind::Held, facts_at);
        }
        return true;
    };
    std::size_t count = 0;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
        if (!kept(rows_[i])) continue;
        if (count != i) rows_[count] = std::move(rows_[i]);
        ++count;
    }
    rows_.resize(count);
    facts_at_ = facts_at;
    subnets_.clear();
    tokens_.clear();
    for (const AddressRow& row : rows_) add(row);
}

std::uint64_t AddressLedger::reserved(const std::string& subnet) const {
    const auto found = subnets_.find(subnet);
    return found == subnets_.end() ? 0 : found->second.reserved;
}

ComingBack AddressLedger::coming_back(const std::string& subnet, base::WallTime now) const {
    const auto found = subnets_.find(subnet);
    if (found == subnets_.end() || found->second.ended.empty()) return {};
    ComingBack back{found->second.ended.size(), {}};
    const base::Duration upper = memory_.view(subnet, now).upper;
    for (const base::WallTime ended : found->second.ended) {
        const base::WallTime expected = ended + upper;
        if (expected > now && (!back.at || expected < *back.at)) back.at = expected;
    }
    return back;
}

}  // namespace signalbox::jobs
