#include "adapters/netfacts/file_facts.hpp"

#include <algorithm>

#include "adapters/netfacts/items.hpp"
#include "base/text.hpp"

namespace signalbox::netfacts {
namespace {

using base::ErrorKind;
using base::fail;
namespace json = base::json;

constexpr std::string_view read_at_key = "read_at";

base::Status check_keys(const json::object& object) {
    std::vector<std::string> known{std::string(read_at_key)};
    for (const Kind& kind : kinds()) known.emplace_back(kind.key);
    for (const auto& [key, value] : object) {
        if (std::find(known.begin(), known.end(), std::string_view(key)) != known.end()) continue;
        const auto near = base::nearest(std::string_view(key), known);
        return fail(ErrorKind::CorruptData, "'{}' is no kind of fact; {}", std::string_view(key),
                    near ? "did you mean '" + *near + "'?" : "there are " + base::join(known, ", "));
    }
    return {};
}

// What names something that must be in the file, but is not: an answer that was cut off looks like that.
base::Status check_references(const network::Facts& facts) {
    const auto has = [](const auto& things, const std::string& id) {
        return std::any_of(things.begin(), things.end(), [&](const auto& thing) { return thing.id == id; });
    };
    for (const network::Subnet& subnet : facts.subnets)
        if (!has(facts.networks, subnet.network))
            return fail(ErrorKind::CorruptData, "subnets: '{}': 'network': there is no network '{}' in the file",
                        subnet.id, subnet.network);
    for (const network::Interface& interface : facts.interfaces) {
        if (!has(facts.subnets, interface.subnet))
            return fail(ErrorKind::CorruptData, "interfaces: '{}': 'subnet': there is no subnet '{}' in the file",
                        interface.id, interface.subnet);
        for (const std::string& group : interface.security_groups)
            if (!has(facts.security_groups, group))
                return fail(ErrorKind::CorruptData,
                            "interfaces: '{}': 'security_groups': there is no security group '{}' in the file",
                            interface.id, group);
    }
    return {};
}

}  // namespace

base::Result<network::Facts> parse_facts(const json::value& content, base::WallTime now) {
    const json::object* object = content.if_object();
    if (object == nullptr) return fail(ErrorKind::CorruptData, "expected an object with lists of zones, networks, …");
    SB_CHECK(check_keys(*object));
    network::Facts facts;
    facts.read_at = now;
    if (const json::value* read_at = object->if_contains(read_at_key)) {
        const auto time = read_at->is_string() ? base::parse_time(std::string_view(read_at->get_string()))
                                               : base::parse_time(json::serialize(*read_at));
        if (!time)
            return fail(ErrorKind::CorruptData, "'{}': expected a time like 2026-01-02T03:04:05Z, found {}",
                        read_at_key, json::serialize(*read_at));
        // A clock that is ahead of ours makes facts fresh, not younger than now.
        facts.read_at = std::min(*time, now);
    }
    for (const Kind& kind : kinds()) {
        const json::value* items = object->if_contains(kind.key);
        if (items == nullptr && !kind.needed) continue;
        if (items == nullptr)
            return fail(ErrorKind::CorruptData,
                        "'{}' is missing: a file of facts has every list, empty ones too, since half an answer would "
                        "show faults that do not exist",
                        kind.key);
        auto added = add_items(kind, *items, std::move(facts));
        if (!added) return base::in_context(added.error(), kind.key);
        facts = std::move(*added);
    }
    SB_CHECK(check_references(facts));
    return facts;
}

base::Result<network::Facts> FileFacts::read(base::WallTime now, base::Duration) {
    auto text = base::read_file(path_, size_max_bytes);
    if (!text) {
        // Whatever the reason, whoever asks a provider learns that it can't be asked now.
        text.error().kind = base::ErrorKind::Unavailable;
        return tl::unexpected<base::Error>(std::move(text).error());
    }
    const auto content = base::parse_json(*text);
    if (!content) return base::in_context(content.error(), path_);
    auto facts = parse_facts(*content, now);
    if (!facts) return base::in_context(facts.error(), path_);
    return facts;
}

}  // namespace signalbox::netfacts
