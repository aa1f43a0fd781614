#pragma once
// One DNS message in, one out: an authoritative server's answers from records that are given as values. No socket, no
// clock. RFC 1035, 2308 (what is not there), 6891 (EDNS), 7766 (TCP). Each name is a zone of its own.

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace signalbox::dns {

struct Target {
    std::string address;         // IPv4 or IPv6, as text
    std::uint32_t weight = 100;  // 1–100
    friend bool operator==(const Target&, const Target&) = default;
};

struct Name {
    std::uint32_t ttl_s = 1;
    std::uint32_t serial = 0;
    std::vector<Target> targets;  // none: there is nobody at present, which must not be remembered
    std::uint64_t queries = 0;
    std::uint64_t turns_v4 = 0;  // answers with addresses of that family so far
    std::uint64_t turns_v6 = 0;
};

struct Zone {
    std::map<std::string, Name> names;  // in lower case, without the final dot
    std::string server;                 // the address that this server listens on; empty if it is any
};

// The most that goes over UDP without fragments on any path, and what this server says that it takes.
inline constexpr std::size_t udp_size_max = 1232;
inline constexpr std::size_t tcp_size_max = 65'535;

enum class Transport { Udp, Tcp };

// The answer in wire format, or nothing for bytes that are no query. Counts the query, and turns the order of
// addresses.
std::vector<std::uint8_t> answer(Zone& zone, const std::uint8_t* query, std::size_t size, Transport transport);

// The targets of the answer number `turn`. Who comes first, which is where most clients go, follows the weights; of the
// others each is in as many of the answers as its weight is of the largest one.
std::vector<Target> pick(const std::vector<Target>& targets, std::uint64_t turn);

// 1–240 bytes: labels of 1–63 letters, digits, - and _, between dots, without a final dot.
bool is_domain_name(const std::string& name);
bool is_v6(const std::string& address);

}  // namespace signalbox::dns
