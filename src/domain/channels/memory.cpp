#include "domain/channels/memory.hpp"

#include "base/text.hpp"

namespace signalbox::channels {
namespace {

namespace json = base::json;
using base::ErrorKind;
using base::fail;

// Reads fields one after the other and remembers the first that is not as expected.
class Fields {
  public:
    explicit Fields(const json::object& object) : object_(object) {}
    std::uint64_t number(const char* name) {
        const auto* value = object_.if_contains(name);
        boost::system::error_code error;
        const auto result = value == nullptr ? 0 : value->to_number<std::uint64_t>(error);
        if (value == nullptr || error) bad_ = name;
        return result;
    }
    std::string text(const char* name) {
        const auto* value = object_.if_contains(name);
        if (value != nullptr && value->is_string()) return std::string(value->get_string());
        bad_ = name;
        return {};
    }
    bool flag(const char* name) {
        const auto* value = object_.if_contains(name);
        if (value != nullptr && value->is_bool()) return value->get_bool();
        bad_ = name;
        return false;
    }
    const std::string& bad() const { return bad_; }

  private:
    const json::object& object_;
    std::string bad_;
};

}  // namespace

json::object to_json(const Finding& finding) {
    return {{"kind", finding.kind},
            {"epoch", finding.epoch},
            {"from_lsn", finding.from_lsn},
            {"to_lsn", finding.to_lsn},
            {"text", finding.text}};
}

json::object to_json(const Memory& memory) {
    json::array findings;
    for (const Finding& finding : memory.findings) findings.push_back(to_json(finding));
    return {{"restarting", memory.restarting},   {"epoch", memory.epoch},
            {"member", memory.member},           {"timeline", memory.timeline},
            {"restart_lsn", memory.restart_lsn}, {"confirmed_lsn", memory.confirmed_lsn},
            {"missing", memory.missing},         {"findings", std::move(findings)}};
}

base::Result<Memory> memory_from_json(const json::value& value) {
    const auto* object = value.if_object();
    if (object == nullptr) return fail(ErrorKind::CorruptData, "a channel's record is no object");
    Fields fields(*object);
    Memory memory;
    memory.restarting = fields.flag("restarting");
    memory.epoch = fields.number("epoch");
    memory.member = fields.text("member");
    memory.timeline = fields.number("timeline");
    memory.restart_lsn = fields.number("restart_lsn");
    memory.confirmed_lsn = fields.number("confirmed_lsn");
    memory.missing = fields.flag("missing");
    const auto* list = object->if_contains("findings");
    if (list == nullptr || !list->is_array() || list->get_array().size() > Memory::findings_max)
        return fail(ErrorKind::CorruptData, "a channel's record has no good 'findings'");
    for (const auto& item : list->get_array()) {
        if (!item.is_object())
            return fail(ErrorKind::CorruptData, "a channel's record has a finding that is no object");
        Fields of(item.get_object());
        Finding finding{of.text("kind"), of.number("epoch"), of.number("from_lsn"), of.number("to_lsn"),
                        of.text("text")};
        if (!of.bad().empty())
            return fail(ErrorKind::CorruptData, "a channel's record has a finding without a good '{}'", of.bad());
        memory.findings.push_back(std::move(finding));
    }
    if (!fields.bad().empty()) return fail(ErrorKind::CorruptData, "a channel's record has no good '{}'", fields.bad());
    return memory;
}

}  // namespace signalbox::channels
