#include "domain/meter/sample.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace signalbox::meter {

std::string_view to_string(Kind kind) {
    switch (kind) {
        case Kind::Write:
            return "write";
        case Kind::Read:
            return "read";
        case Kind::Role:
            return "role";
        case Kind::Dns:
            return "dns";
    }
    return "?";
}

std::string_view to_string(Outcome outcome) {
    switch (outcome) {
        case Outcome::Ok:
            return "ok";
        case Outcome::Failed:
            return "failed";
        case Outcome::Unknown:
            return "unknown";
    }
    return "?";
}

PathInfo describe_path(std::string_view name) {
    PathInfo info;
    info.name = name;
    info.group = name;
    const std::size_t dash = name.rfind('-');
    if (dash == std::string_view::npos || dash == 0 || dash + 1 == name.size()) return info;
    const std::string_view digits = name.substr(dash + 1);
    if (digits.find_first_not_of("0123456789") != std::string_view::npos) return info;
    info.group = name.substr(0, dash);
    info.member = true;
    return info;
}

bool is_read_only_refusal(int code) { return code == 1290 || code == 1792 || code == 1836; }

Outcome write_outcome(bool statement_sent, int code) {
    if (!statement_sent) return Outcome::Failed;
    if (code == 0 || (code >= 2000 && code < 3000)) return Outcome::Unknown;
    // 1053 shutdown, 1152 aborted, 1158–1161 network, 1180 error during commit, 1184 aborted, 1317 interrupted, 1927
    // killed, 1969 statement time-out, 3024 its MySQL twin: the commit may stand.
    constexpr std::array may_have_happened{1053, 1152, 1158, 1159, 1160, 1161, 1180, 1184, 1317, 1927, 1969, 3024};
    return std::find(may_have_happened.begin(), may_have_happened.end(), code) != may_have_happened.end()
               ? Outcome::Unknown
               : Outcome::Failed;
}

std::string code_name(int code) {
    if (code == 0) return "timeout";
    if (code < 0) return fmt::format("dns {}", code);
    return fmt::format("{}", code);
}

}  // namespace signalbox::meter
