#include "adapters/nftables/table.hpp"
#include "base/json.hpp"

namespace signalbox::kernel {
namespace {

using base::ErrorKind;
using base::fail;
using base::json::array;
using base::json::object;
using base::json::value;

const value* find(const object& where, std::string_view key) { return where.if_contains(key); }

std::string text_of(const object& where, std::string_view key) {
    const value* found = find(where, key);
    const auto* text = found == nullptr ? nullptr : found->if_string();
    return text == nullptr ? std::string() : std::string(*text);
}

std::uint64_t number_of(const value* where) {
    if (where == nullptr) return 0;
    if (const auto* number = where->if_int64()) return *number < 0 ? 0 : static_cast<std::uint64_t>(*number);
    if (const auto* number = where->if_uint64()) return *number;
    return 0;
}

// An element's key may come bare or as {"elem": {"val": …, "comment": …}}.
struct Key {
    const value* key = nullptr;
    std::string comment;
};

Key key_of(const value& element) {
    const object* outer = element.if_object();
    const value* inner = outer == nullptr ? nullptr : find(*outer, "elem");
    if (inner == nullptr || !inner->is_object()) return {&element, {}};
    return {find(inner->get_object(), "val"), text_of(inner->get_object(), "comment")};
}

// {"concat": ["10.0.0.1", 3306]}
base::Result<Address> address_of(const value* from) {
    const object* outer = from == nullptr ? nullptr : from->if_object();
    const value* found = outer == nullptr ? nullptr : find(*outer, "concat");
    const array* parts = found == nullptr ? nullptr : found->if_array();
    if (parts == nullptr || parts->size() != 2 || !(*parts)[0].is_string()) {
        return fail(ErrorKind::CorruptData, "an element of the table is no address with a port");
    }
    const std::uint64_t port = number_of(&(*parts)[1]);
    if (port > 65535) return fail(ErrorKind::CorruptData, "an element of the table has port {}", port);
    return parse_ip(std::string((*parts)[0].get_string()), static_cast<std::uint16_t>(port));
}

struct Parser {
    std::vector<Door> doors;
    std::map<Stamp, Address> targets;
    std::map<Stamp, std::string> stamps;  // comments of `sent`
    std::map<std::string, std::uint64_t> packets;
    std::map<std::string, std::uint64_t> bytes;
    std::vector<Address> leases;
    std::vector<Address> masqueraded;

    base::Status take(const object& entry);
    base::Status take_set(const object& set);
    base::Status take_element(const std::string& set, const value& element);
    base::Status take_endpoint(const Key& key);
    base::Status finish();
};

base::Status Parser::take(const object& entry) {
    if (const value* counter = find(entry, "counter"); counter != nullptr && counter->is_object()) {
        const std::string name = text_of(counter->get_object(), "name");
        packets[name] = number_of(find(counter->get_object(), "packets"));
        bytes[name] = number_of(find(counter->get_object(), "bytes"));
    }
    for (const std::string_view kind : {"set", "map"}) {
        if (const value* set = find(entry, kind); set != nullptr && set->is_object()) {
            SB_CHECK(take_set(set->get_object()));
        }
    }
    return {};
}

base::Status Parser::take_set(const object& set) {
    const value* elements = find(set, "elem");
    if (elements == nullptr || !elements->is_array()) return {};
    for (const value& element : elements->get_array()) SB_CHECK(take_element(text_of(set, "name"), element));
    return {};
}

base::Status Parser::take_element(const std::string& set, const value& element) {
    // Elements of maps are [key, data].
    const array* both = element.if_array();
    if (both != nullptr && both->size() != 2) return fail(ErrorKind::CorruptData, "an element of '{}' is odd", set);
    const Key key = key_of(both == nullptr ? element : (*both)[0]);
    if (set.starts_with("endpoints")) return take_endpoint(key);
    if (set == "sent") {
        stamps[static_cast<Stamp>(number_of(key.key))] = key.comment;
    } else if (set.starts_with("targets") && both != nullptr) {
        SB_TRY(targets[static_cast<Stamp>(number_of(key.key))], address_of(&(*both)[1]));
    } else if (set.starts_with("lease")) {
        SB_TRY(leases.emplace_back(), address_of(key.key));
    } else if (set.starts_with("masqueraded")) {
        SB_TRY(masqueraded.emplace_back(), address_of(key.key));
    }
    return {};
}

base::Status Parser::take_endpoint(const Key& key) {
    Door door;
    SB_TRY(door.listen, address_of(key.key));
    const auto words = base::split(key.comment, ' ');
    if (words.size() != 2 || (words[0] != "writer" && words[0] != "reader")) {
        return fail(ErrorKind::CorruptData, "endpoint {} of the table has the comment '{}'", door.listen.text(),
                    key.comment);
    }
    door.role = words[0] == "writer" ? routing::Role::Writer : routing::Role::Reader;
    door.cluster = std::string(words[1]);
    doors.push_back(std::move(door));
    return {};
}

base::Status Parser::finish() {
    std::map<std::string, Door*> by_id;
    for (Door& door : doors) {
        const std::string id = door.id();
        by_id[id] = &door;
        door.counts = {packets["acc_" + id], packets["ref_" + id], bytes["to_" + id], bytes["from_" + id]};
        for (const Address& lease : leases) door.admitted = door.admitted || lease == door.listen;
        door.masquerade = false;
        for (const Address& address : masqueraded) door.masquerade = door.masquerade || address == door.listen;
    }
    for (const auto& [stamp, comment] : stamps) {
        const auto words = base::split(comment, ' ');
        const auto epoch = words.size() == 3 ? base::parse_uint(words[1]) : std::nullopt;
        const auto door = words.size() == 3 ? by_id.find(std::string(words[0])) : by_id.end();
        const auto address = targets.find(stamp);
        if (!epoch || door == by_id.end() || address == targets.end()) {
            return fail(ErrorKind::CorruptData, "stamp {:#x} of the table has the comment '{}'", stamp, comment);
        }
        door->second->targets.push_back({stamp, *epoch, std::string(words[2]), address->second, 100, false});
    }
    return {};
}

base::Result<Parser> parse(std::string_view json) {
    SB_TRY(const value root, base::parse_json(json));
    const value* entries = root.is_object() ? find(root.get_object(), "nftables") : nullptr;
    if (entries == nullptr || !entries->is_array()) return fail(ErrorKind::CorruptData, "nft printed no table");
    Parser parser;
    for (const value& entry : entries->get_array()) {
        if (!entry.is_object()) return fail(ErrorKind::CorruptData, "nft printed something that is no object");
        SB_CHECK(parser.take(entry.get_object()));
    }
    return parser;
}

}  // namespace

base::Result<std::vector<Door>> parse_table(std::string_view json) {
    SB_TRY(Parser parser, parse(json));
    SB_CHECK(parser.finish());
    return std::move(parser.doors);
}

base::Result<std::map<std::string, Counts>> parse_counts(std::string_view json) {
    SB_TRY(Parser parser, parse(json));
    std::map<std::string, Counts> counts;
    for (const auto& [name, packets] : parser.packets) {
        const auto parts = base::split(name, '_');
        if (parts.size() != 2 || parts[0] != "acc") continue;
        const std::string id(parts[1]);
        counts[id] = {packets, parser.packets["ref_" + id], parser.bytes["to_" + id], parser.bytes["from_" + id]};
    }
    return counts;
}

}  // namespace signalbox::kernel
