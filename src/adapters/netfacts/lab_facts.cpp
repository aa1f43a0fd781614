#include "adapters/netfacts/lab_facts.hpp"

#include <utility>

#include "adapters/netfacts/items.hpp"

namespace signalbox::netfacts {

using base::ErrorKind;
using base::fail;
namespace json = base::json;

base::Result<network::Facts> LabFacts::read(base::WallTime now, base::Duration timeout) {
    network::Facts facts;
    facts.read_at = now;
    for (const Kind& kind : kinds()) {
        if (kind.call.empty()) continue;
        SB_TRY(const json::value answer, client_.get(kind.call, timeout));
        const json::object* object = answer.if_object();
        const json::value* items = object == nullptr ? nullptr : object->if_contains("items");
        if (items == nullptr)
            return fail(ErrorKind::CorruptData, "{}: expected an object with a list 'items'", kind.call);
        auto added = add_items(kind, *items, std::move(facts));
        if (!added) return base::in_context(added.error(), kind.call);
        facts = std::move(*added);
    }
    return facts;
}

}  // namespace signalbox::netfacts
