#include "adapters/actions/message.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace signalbox::actions {

base::json::object message_of(const ports::ActionRequest& request) {
    base::json::object message{{"id", request.id}, {"alarm", request.alarm}, {"action", request.action}};
    if (!request.table.empty()) message["table"] = request.table;
    for (const auto& [key, value] : request.transition) {
        // The id is what repetitions are known by: a transition can't give another.
        if (!message.contains(key)) message[key] = value;
    }
    return message;
}

std::string one_line(std::string text, std::size_t size_max) {
    std::replace_if(
        text.begin(), text.end(), [](unsigned char letter) { return letter < ' ' || letter == 127; }, ' ');
    text = std::string(base::trim(text));
    if (text.size() <= size_max) return text;
    // Not inside a letter of several bytes.
    std::size_t end = size_max;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    return text.substr(0, end) + "…";
}

}  // namespace signalbox::actions
