#include "adapters/nftables/table.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>

namespace signalbox::kernel {
namespace {

// FNV-1a, 64 bits: names of chains and owners need to be the same in every process, and no more.
std::uint64_t hash(std::string_view text) {
    std::uint64_t value = 0xcbf2'9ce4'8422'2325;
    for (const char letter : text) value = (value ^ static_cast<unsigned char>(letter)) * 0x0000'0100'0000'01b3;
    return value;
}

// Appends commands on one table.
class Script {
  public:
    explicit Script(std::string_view table) : table_(table) {}

    // "add rule {table} judge …": `verb` is "add rule", `rest` the remainder of the command.
    template <typename... Args>
    void add(std::string_view verb, fmt::format_string<Args...> rest, Args&&... args) {
        fmt::format_to(std::back_inserter(text_), "{} inet {} ", verb, table_);
        fmt::format_to(std::back_inserter(text_), rest, std::forward<Args>(args)...);
        text_ += '\n';
    }
    std::string take() { return std::move(text_); }

  private:
    std::string_view table_;
    std::string text_;
};

std::string_view family(const Address& address) { return address.v6 ? "6" : "4"; }
std::string_view keyword(const Address& address) { return address.v6 ? "ip6" : "ip"; }
std::string pair(const Address& address) { return fmt::format("{} . {}", address.ip(), address.port); }

// `{}`: "4" or "6"; `{}`: "ip" or "ip6"; `{}`: "ipv4_addr" or "ipv6_addr".
void add_family(Script& script, std::string_view digit, std::string_view ip, std::string_view type) {
    for (const std::string_view set : {"endpoints", "members", "masqueraded", "barred"}) {
        script.add("add set", "{}{} {{ type {} . inet_service; }}", set, digit, type);
    }
    script.add("add set", "lease{} {{ type {} . inet_service; flags timeout; }}", digit, type);
    script.add("add map", "doors{} {{ type {} . inet_service : verdict; }}", digit, type);
    script.add("add map", "targets{} {{ type mark : {} . inet_service; }}", digit, type);
    script.add("add rule", "prerouting {0} daddr . tcp dport @barred{1} goto ended", ip, digit);
    script.add("add rule", "judge ct state invalid {0} saddr . tcp sport @members{1} drop", ip, digit);
    script.add("add rule",
               "judge meta l4proto tcp ct direction reply ct original {0} daddr . ct original proto-dst @endpoints{1} "
               "goto ended",
               ip, digit);
    script.add("add rule", "judge {0} daddr . tcp dport @endpoints{1} jump arrive", ip, digit);
    script.add("add rule", "judge {0} daddr . tcp dport vmap @doors{1}", ip, digit);
    for (const std::string_view chain : {"dnat_prerouting", "dnat_output"}) {
        script.add("add rule", "{0} {1} daddr . tcp dport @endpoints{2} dnat {1} to ct mark map @targets{2}", chain, ip,
                   digit);
    }
    script.add("add rule",
               "masquerade_out meta l4proto tcp ct direction original ct status dnat "
               "ct original {0} daddr . ct original proto-dst @masqueraded{1} masquerade",
               ip, digit);
}

void add_chains(Script& script, const Table& table) {
    script.add("add map", "sent {{ type mark : counter; }}");
    script.add("add map", "received {{ type mark : counter; }}");
    for (const std::string_view chain : {"ended", "arrive", "judge"}) script.add("add chain", "{}", chain);
    script.add("add chain", "questions {{ type filter hook output priority raw; policy accept; }}");
    script.add("add chain", "prerouting {{ type filter hook prerouting priority mangle; policy accept; }}");
    script.add("add chain", "output {{ type filter hook output priority mangle; policy accept; }}");
    script.add("add chain", "dnat_prerouting {{ type nat hook prerouting priority dstnat; policy accept; }}");
    script.add("add chain", "dnat_output {{ type nat hook output priority -100; policy accept; }}");
    script.add("add chain", "masquerade_out {{ type nat hook postrouting priority srcnat; policy accept; }}");
    script.add("add rule", "questions meta mark 0x{:08x} notrack", question_mark(table));
    // A reset ends something already, and ours must get out.
    script.add("add rule", "ended tcp flags & rst == rst accept");
    script.add("add rule", "ended reject with tcp reset");
    script.add("add rule", "arrive ct state invalid {}", table.drop_invalid ? "drop" : "goto ended");
    script.add("add rule", "arrive tcp flags & (fin | syn | rst | ack) != syn goto ended");
    // A SYN that is sent again on a fenced flow: its translation is the former writer's, so it gets no new stamp.
    script.add("add rule", "arrive ct status & confirmed == confirmed goto ended");
    script.add("add rule", "judge meta l4proto != tcp return");
    script.add("add rule", "judge ct direction original counter name ct mark map @sent accept");
    script.add("add rule", "judge ct direction reply counter name ct mark map @received accept");
}

void add_target(Script& script, const Door& door, const Target& target) {
    const std::string id = door.id();
    script.add("add element", "sent {{ 0x{:08x} comment \"{} {} {}\" : \"to_{}\" }}", target.stamp, id, target.epoch,
               target.member, id);
    script.add("add element", "received {{ 0x{:08x} : \"from_{}\" }}", target.stamp, id);
    script.add("add element", "targets{} {{ 0x{:08x} : {} }}", family(door.listen), target.stamp, pair(target.address));
    script.add("add element", "members{} {{ {} }}", family(door.listen), pair(target.address));
}

void remove_target(Script& script, const Door& door, const Target& target) {
    script.add("delete element", "sent {{ 0x{:08x} }}", target.stamp);
    script.add("delete element", "received {{ 0x{:08x} }}", target.stamp);
    script.add("delete element", "targets{} {{ 0x{:08x} }}", family(door.listen), target.stamp);
}

void add_lease(Script& script, const Door& door) {
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(door.lease).count();
    const std::string time = ms == 0 ? "" : fmt::format(" timeout {}ms", ms);
    script.add("add element", "lease{} {{ {}{} }}", family(door.listen), pair(door.listen), time);
}

// An element that may have run out cannot just be deleted: it is added first, which is no error if it is there.
void remove_lease(Script& script, const Door& door) {
    script.add("add element", "lease{} {{ {} }}", family(door.listen), pair(door.listen));
    script.add("delete element", "lease{} {{ {} }}", family(door.listen), pair(door.listen));
}

// The stamp of a new flow: a constant, or drawn by weight.
std::string stamping(const std::vector<const Target*>& admitting) {
    if (admitting.size() == 1) return fmt::format("0x{:08x}", admitting.front()->stamp);
    std::uint64_t total = 0;
    std::string shares;
    for (const Target* target : admitting) {
        const std::uint64_t weight = std::max<std::uint32_t>(1, target->weight);
        fmt::format_to(std::back_inserter(shares), "{}{}-{} : 0x{:08x}", total == 0 ? "" : ", ", total,
                       total + weight - 1, target->stamp);
        total += weight;
    }
    return fmt::format("numgen random mod {} map {{ {} }}", total, shares);
}

void add_new_rules(Script& script, const Door& door) {
    const std::string id = door.id();
    std::vector<const Target*> admitting;
    for (const Target& target : door.targets) {
        if (target.admits) admitting.push_back(&target);
    }
    if (door.admitted && !admitting.empty()) {
        script.add("add rule", "new_{} {} daddr . tcp dport @lease{} ct mark set {} counter name acc_{} accept", id,
                   keyword(door.listen), family(door.listen), stamping(admitting), id);
    }
    script.add("add rule", "new_{0} counter name ref_{0} goto ended", id);
}

void add_door(Script& script, const Door& door) {
    const std::string id = door.id();
    const std::string_view digit = family(door.listen);
    const auto counter = [&](std::string_view name, std::uint64_t packets, std::uint64_t bytes) {
        script.add("add counter", "{}_{} {{ packets {} bytes {} }}", name, id, packets, bytes);
    };
    counter("acc", door.counts.accepted, 0);
    counter("ref", door.counts.refused, 0);
    counter("to", 0, door.counts.bytes_to_server);
    counter("from", 0, door.counts.bytes_to_client);
    script.add("add chain", "new_{}", id);
    script.add("add chain", "door_{}", id);
    script.add("add rule", "door_{0} ct count over {1} counter name ref_{0} goto ended", id, door.flows_max);
    script.add("add rule", "door_{0} goto new_{0}", id);
    script.add("add element", "endpoints{} {{ {} comment \"{} {}\" }}", digit, pair(door.listen),
               door.role == routing::Role::Writer ? "writer" : "reader", door.cluster);
    script.add("add element", "doors{} {{ {} : jump door_{} }}", digit, pair(door.listen), id);
    if (door.masquerade) script.add("add element", "masqueraded{} {{ {} }}", digit, pair(door.listen));
    if (door.barred) script.add("add element", "barred{} {{ {} }}", digit, pair(door.listen));
    for (const Target& target : door.targets) add_target(script, door, target);
    if (door.admitted) add_lease(script, door);
    add_new_rules(script, door);
}

}  // namespace

std::string Door::id() const { return fmt::format("{:016x}", hash(listen.text())); }

std::string table_name(std::string_view instance) { return fmt::format("signalbox_{:016x}", hash(instance)); }

Stamp owner_of(std::string_view instance) {
    // Never 0: an unmarked flow is nobody's.
    return static_cast<Stamp>(1 + hash(instance) % 0xffe) << 20U;
}

Stamp question_mark(const Table& table) { return table.owner | stamp_number_mask; }

std::string whole_text(const Table& table) {
    Script script(table.name);
    script.add("add table", "");
    script.add("delete table", "");
    script.add("add table", "{{ comment \"signalbox 1\"; }}");
    add_chains(script, table);
    add_family(script, "4", "ip", "ipv4_addr");
    add_family(script, "6", "ip6", "ipv6_addr");
    script.add("add rule", "prerouting jump judge");
    script.add("add rule", "output jump judge");
    for (const Door& door : table.doors) add_door(script, door);
    return script.take();
}

std::string change_text(const Table& table, const Door& before, const Door& after) {
    Script script(table.name);
    const auto has = [](const Door& door, Stamp stamp) {
        return std::any_of(door.targets.begin(), door.targets.end(),
                           [&](const Target& target) { return target.stamp == stamp; });
    };
    script.add("flush chain", "new_{}", after.id());
    for (const Target& target : before.targets) {
        if (!has(after, target.stamp)) remove_target(script, before, target);
    }
    for (const Target& target : after.targets) {
        if (!has(before, target.stamp)) add_target(script, after, target);
    }
    remove_lease(script, after);
    if (after.admitted) add_lease(script, after);
    add_new_rules(script, after);
    return script.take();
}

std::string renewal_text(const Table& table) {
    Script script(table.name);
    for (const Door& door : table.doors) {
        if (!door.admitted || door.lease == base::Duration::zero()) continue;
        remove_lease(script, door);
        add_lease(script, door);
    }
    return script.take();
}

}  // namespace signalbox::kernel
