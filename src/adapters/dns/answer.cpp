#include "adapters/dns/answer.hpp"

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "base/text.hpp"
// Last: it makes macros of false and true, which headers of the standard library do not survive.
#include <ldns/ldns.h>

namespace signalbox::dns {
namespace {

constexpr std::size_t header_bytes = 12;
constexpr std::size_t plain_udp_size = 512;  // RFC 1035, 4.2.1: what every client takes
constexpr std::size_t name_max = 240;        // with "hostmaster." in front it still is a name
constexpr std::size_t label_max = 63;
constexpr std::uint8_t bad_version = 1;  // the upper bits of BADVERS, 16

struct Free {
    void operator()(ldns_pkt* packet) const { ldns_pkt_free(packet); }
    void operator()(char* text) const { std::free(text); }
    void operator()(std::uint8_t* bytes) const { std::free(bytes); }
};
using Packet = std::unique_ptr<ldns_pkt, Free>;

std::string lower_name(const ldns_rdf* name) {
    const std::unique_ptr<char, Free> text(ldns_rdf2str(name));
    std::string result(text ? text.get() : "");
    for (auto& c : result)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (result.size() > 1 && result.ends_with('.')) result.pop_back();
    return result;
}

// From a line of a zone file that we wrote.
void add(ldns_pkt* reply, ldns_pkt_section section, const std::string& line) {
    ldns_rr* rr = nullptr;
    if (ldns_rr_new_frm_str(&rr, line.c_str(), 0, nullptr, nullptr) == LDNS_STATUS_OK)
        ldns_pkt_push_rr(reply, section, rr);
}

// Its minimum tells a resolver for how long it may remember that there is nothing. That there is nobody at present is
// not to be remembered at all.
std::string start_of_authority(const std::string& zone, const Name& name) {
    const std::uint32_t minimum = name.targets.empty() ? 0 : name.ttl_s;
    return fmt::format("{0}. {1} IN SOA ns.{0}. hostmaster.{0}. {2} 60 10 60 {1}", zone, minimum, name.serial);
}

std::string address_line(const std::string& owner, std::uint32_t ttl_s, const std::string& address) {
    return fmt::format("{}. {} IN {} {}", owner, ttl_s, is_v6(address) ? "AAAA" : "A", address);
}

bool add_addresses(ldns_pkt* reply, const std::string& owner, Name& name, bool v6) {
    std::vector<Target> family;
    std::copy_if(name.targets.begin(), name.targets.end(), std::back_inserter(family),
                 [&](const auto& target) { return is_v6(target.address) == v6; });
    if (family.empty()) return false;
    for (const auto& target : pick(family, (v6 ? name.turns_v6 : name.turns_v4)++))
        add(reply, LDNS_SECTION_ANSWER, address_line(owner, name.ttl_s, target.address));
    return true;
}

bool add_answer(ldns_pkt* reply, const std::string& owner, Name& name, ldns_rr_type type) {
    switch (type) {
        case LDNS_RR_TYPE_A:
            return add_addresses(reply, owner, name, false);
        case LDNS_RR_TYPE_AAAA:
            return add_addresses(reply, owner, name, true);
        case LDNS_RR_TYPE_ANY:
            return add_addresses(reply, owner, name, false) || add_addresses(reply, owner, name, true);
        case LDNS_RR_TYPE_SOA:
            add(reply, LDNS_SECTION_ANSWER, start_of_authority(owner, name));
            return true;
        case LDNS_RR_TYPE_NS:
            add(reply, LDNS_SECTION_ANSWER, fmt::format("{0}. {1} IN NS ns.{0}.", owner, name.ttl_s));
            return true;
        default:
            return false;
    }
}

// The name asked for, or the longest of ours that it lies under; end if none.
std::map<std::string, Name>::iterator find_zone(Zone& zone, const std::string& asked) {
    for (std::string name = asked;;) {
        const auto found = zone.names.find(name);
        const std::size_t dot = name.find('.');
        if (found != zone.names.end() || dot == std::string::npos) return found;
        name.erase(0, dot + 1);
    }
}

void fill(Zone& zone, ldns_pkt* reply, const ldns_rr* question) {
    const std::string asked = lower_name(ldns_rr_owner(question));
    const auto found = ldns_rr_get_class(question) == LDNS_RR_CLASS_IN ? find_zone(zone, asked) : zone.names.end();
    if (found == zone.names.end()) {
        ldns_pkt_set_rcode(reply, LDNS_RCODE_REFUSED);
        return;
    }
    auto& [owner, name] = *found;
    ++name.queries;
    ldns_pkt_set_aa(reply, true);
    const auto type = ldns_rr_get_type(question);
    bool answered = false;
    if (asked == owner) {
        answered = add_answer(reply, owner, name, type);
    } else if (asked == "ns." + owner) {
        const auto own = is_v6(zone.server) ? LDNS_RR_TYPE_AAAA : LDNS_RR_TYPE_A;
        answered = !zone.server.empty() && type == own;
        if (answered) add(reply, LDNS_SECTION_ANSWER, address_line(asked, name.ttl_s, zone.server));
    } else {
        ldns_pkt_set_rcode(reply, LDNS_RCODE_NXDOMAIN);
    }
    if (!answered) add(reply, LDNS_SECTION_AUTHORITY, start_of_authority(owner, name));
}

std::vector<std::uint8_t> to_wire(const ldns_pkt* reply) {
    std::uint8_t* bytes = nullptr;
    std::size_t size = 0;
    if (ldns_pkt2wire(&bytes, reply, &size) != LDNS_STATUS_OK) return {};
    const std::unique_ptr<std::uint8_t, Free> owner(bytes);
    return {bytes, bytes + size};
}

// What the client takes over UDP.
std::size_t size_limit(const ldns_pkt* request) {
    if (!ldns_pkt_edns(request)) return plain_udp_size;
    return std::clamp<std::size_t>(ldns_pkt_edns_udp_size(request), plain_udp_size, udp_size_max);
}

Packet begin_reply(const ldns_pkt* request) {
    Packet reply(ldns_pkt_new());
    ldns_pkt_set_id(reply.get(), ldns_pkt_id(request));
    ldns_pkt_set_qr(reply.get(), true);
    ldns_pkt_set_rd(reply.get(), ldns_pkt_rd(request));
    ldns_pkt_set_opcode(reply.get(), ldns_pkt_get_opcode(request));
    if (ldns_pkt_edns(request)) ldns_pkt_set_edns_udp_size(reply.get(), udp_size_max);
    const auto* questions = ldns_pkt_question(request);
    if (ldns_rr_list_rr_count(questions) == 1)
        ldns_pkt_push_rr(reply.get(), LDNS_SECTION_QUESTION, ldns_rr_clone(ldns_rr_list_rr(questions, 0)));
    return reply;
}

}  // namespace

bool is_v6(const std::string& address) { return address.find(':') != std::string::npos; }

bool is_domain_name(const std::string& name) {
    if (name.empty() || name.size() > name_max) return false;
    for (const auto label : base::split(name, '.')) {
        if (label.empty() || label.size() > label_max) return false;
        for (const char c : label) {
            const bool good =
                (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
            if (!good) return false;
        }
    }
    return true;
}

std::vector<Target> pick(const std::vector<Target>& targets, std::uint64_t turn) {
    std::uint64_t largest = 1;
    std::uint64_t total = 0;
    for (const auto& target : targets) {
        largest = std::max<std::uint64_t>(largest, target.weight);
        total += target.weight;
    }
    // The multiples of the golden ratio spread evenly over [0, 1), however many there are (Weyl's sequence).
    constexpr std::uint64_t golden = 0x9e3779b97f4a7c15;
    std::uint64_t point = ((turn * golden) >> 32U) * total >> 32U;
    std::size_t first = 0;
    while (first + 1 < targets.size() && point >= targets[first].weight) point -= targets[first++].weight;
    // In turn k of `largest` ones, a weight w is in if w·k/largest steps over a whole number: w times of them, evenly.
    const std::uint64_t step = turn % largest;
    std::vector<Target> picked;
    for (std::size_t i = 0; i < targets.size(); ++i) {
        const Target& target = targets[(first + i) % targets.size()];
        if (i == 0 || (step + 1) * target.weight / largest > step * target.weight / largest) picked.push_back(target);
    }
    return picked;
}

std::vector<std::uint8_t> answer(Zone& zone, const std::uint8_t* query, std::size_t size, Transport transport) {
    ldns_pkt* parsed = nullptr;
    if (size < header_bytes || ldns_wire2pkt(&parsed, query, size) != LDNS_STATUS_OK) return {};
    const Packet request(parsed);
    if (ldns_pkt_qr(request.get())) return {};
    const Packet reply = begin_reply(request.get());
    const auto* questions = ldns_pkt_question(request.get());
    if (ldns_pkt_get_opcode(request.get()) != LDNS_PACKET_QUERY) {
        ldns_pkt_set_rcode(reply.get(), LDNS_RCODE_NOTIMPL);
    } else if (ldns_rr_list_rr_count(questions) != 1) {
        ldns_pkt_set_rcode(reply.get(), LDNS_RCODE_FORMERR);
    } else if (ldns_pkt_edns(request.get()) && ldns_pkt_edns_version(request.get()) != 0) {
        ldns_pkt_set_edns_extended_rcode(reply.get(), bad_version);
    } else {
        fill(zone, reply.get(), ldns_rr_list_rr(questions, 0));
    }
    auto bytes = to_wire(reply.get());
    if (bytes.size() <= (transport == Transport::Udp ? size_limit(request.get()) : tcp_size_max)) return bytes;
    // Empty, with the bit that sends the client to TCP: a part of a set would be taken for the whole.
    const Packet shorter = begin_reply(request.get());
    ldns_pkt_set_aa(shorter.get(), true);
    ldns_pkt_set_tc(shorter.get(), true);
    return to_wire(shorter.get());
}

}  // namespace signalbox::dns
