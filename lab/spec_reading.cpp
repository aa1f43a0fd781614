#include "lab/spec_reading.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace signalbox::lab {

using yaml::Reader;

void need_known(Reader& at, const std::string& key, const std::string& what, const std::string& name,
                const std::vector<std::string>& known) {
    if (name.empty() || std::find(known.begin(), known.end(), name) != known.end()) return;
    const auto near = base::nearest(name, known);
    at.fault(key, fmt::format("there is no {} '{}'; {}", what, name,
                              near ? "did you mean '" + *near + "'?"
                                   : "there is: " + (known.empty() ? "none" : base::join(known, ", "))));
}

std::optional<Cidr> read_cidr(Reader& at, const std::string& key) {
    const auto text = at.need_text(key);
    if (text.empty()) return std::nullopt;
    const auto parsed = parse_cidr(text);
    if (!parsed)
        at.fault(key, fmt::format("expected an IPv4 range such as 10.0.1.0/24 (no bits behind the prefix), found '{}'",
                                  text));
    return parsed;
}

std::string network_of(Reader& at, const LabSpec& spec) {
    if (!at.has("network") && spec.networks.size() == 1) {
        at.text("network");
        return spec.networks.front().name;
    }
    auto name = at.need_text("network");
    need_known(at, "network", "network", name, names_of(spec.networks));
    return name;
}

void read_ports(Reader& at, std::string& protocol, int& port_from, int& port_to) {
    protocol = at.word("protocol", {"tcp", "all"}).value_or("all");
    if (const auto port = at.integer("port", 0, 65535)) port_from = port_to = static_cast<int>(*port);
    port_from = static_cast<int>(at.integer("port_from", 0, 65535).value_or(port_from));
    port_to = static_cast<int>(at.integer("port_to", 0, 65535).value_or(port_to));
    if (port_from > port_to) at.fault("port_to", "port_to is smaller than port_from");
}

}  // namespace signalbox::lab
