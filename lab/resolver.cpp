#include "lab/resolver.hpp"

#include <arpa/inet.h>
#include <ldns/ldns.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace signalbox::lab {

using base::ErrorKind;

namespace {

constexpr int poll_ms = 200;
constexpr int tcp_timeout_s = 1;
constexpr std::size_t message_max = 4096;

struct PacketDeleter {
    void operator()(ldns_pkt* packet) const { ldns_pkt_free(packet); }
};
using Packet = std::unique_ptr<ldns_pkt, PacketDeleter>;

std::string lower_name(const ldns_rdf* name) {
    char* text = ldns_rdf2str(name);
    std::string result(text ? text : "");
    ::free(text);
    for (auto& c : result)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (result.size() > 1 && result.ends_with('.')) result.pop_back();
    return result;
}

ldns_rr* record(const std::string& owner, ldns_rr_type type, ldns_rdf_type data_type, const std::string& data) {
    ldns_rr* rr = ldns_rr_new();
    ldns_rr_set_owner(rr, ldns_rdf_new_frm_str(LDNS_RDF_TYPE_DNAME, (owner + ".").c_str()));
    ldns_rr_set_type(rr, type);
    ldns_rr_set_class(rr, LDNS_RR_CLASS_IN);
    ldns_rr_set_ttl(rr, name_ttl_s);
    ldns_rr_push_rdf(rr, ldns_rdf_new_frm_str(data_type, data.c_str()));
    return rr;
}

// Tells a resolver for how long it may remember that there is nothing.
ldns_rr* start_of_authority() {
    ldns_rr* rr = nullptr;
    ldns_rr_new_frm_str(&rr, "lab. 5 IN SOA ns.lab. lab.lab. 1 5 5 5 5", 0, nullptr, nullptr);
    return rr;
}

void fill(const Names& names, ldns_pkt* reply, const ldns_rr* question) {
    const std::string name = lower_name(ldns_rr_owner(question));
    const auto type = ldns_rr_get_type(question);
    if (name != "lab" && !name.ends_with(".lab")) {
        ldns_pkt_set_rcode(reply, LDNS_RCODE_REFUSED);
        return;
    }
    ldns_pkt_set_aa(reply, true);
    const auto found = names.look_up(name);
    if (!found.exists && name != "lab") ldns_pkt_set_rcode(reply, LDNS_RCODE_NXDOMAIN);
    bool any = false;
    if (found.alias) {
        ldns_pkt_push_rr(reply, LDNS_SECTION_ANSWER,
                         record(name, LDNS_RR_TYPE_CNAME, LDNS_RDF_TYPE_DNAME, *found.alias + "."));
        any = true;
    }
    if (found.address && (type == LDNS_RR_TYPE_A || type == LDNS_RR_TYPE_ANY)) {
        ldns_pkt_push_rr(
            reply, LDNS_SECTION_ANSWER,
            record(found.alias.value_or(name), LDNS_RR_TYPE_A, LDNS_RDF_TYPE_A, ipv4_text(*found.address)));
        any = true;
    }
    if (!any) ldns_pkt_push_rr(reply, LDNS_SECTION_AUTHORITY, start_of_authority());
}

base::Result<Fd> bound_socket(int type, const sockaddr_in& address) {
    Fd fd(::socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int on = 1;
    if (!fd || ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        (type == SOCK_STREAM && ::listen(fd.get(), 64) != 0))
        return errno_error("the resolver can't listen");
    return fd;
}

bool read_all(int fd, std::uint8_t* data, std::size_t size) {
    for (std::size_t done = 0; done < size;) {
        const auto count = ::recv(fd, data + done, size - done, 0);
        if (count <= 0) return false;
        done += static_cast<std::size_t>(count);
    }
    return true;
}

}  // namespace

std::vector<std::uint8_t> answer_dns(const Names& names, const std::uint8_t* query, std::size_t size) {
    ldns_pkt* parsed = nullptr;
    if (ldns_wire2pkt(&parsed, query, size) != LDNS_STATUS_OK) return {};
    const Packet request(parsed);
    if (ldns_pkt_qr(request.get())) return {};
    const Packet reply(ldns_pkt_new());
    ldns_pkt_set_id(reply.get(), ldns_pkt_id(request.get()));
    ldns_pkt_set_qr(reply.get(), true);
    ldns_pkt_set_rd(reply.get(), ldns_pkt_rd(request.get()));
    ldns_pkt_set_opcode(reply.get(), ldns_pkt_get_opcode(request.get()));
    const auto* questions = ldns_pkt_question(request.get());
    if (ldns_pkt_get_opcode(request.get()) != LDNS_PACKET_QUERY || ldns_rr_list_rr_count(questions) != 1) {
        ldns_pkt_set_rcode(reply.get(), LDNS_RCODE_NOTIMPL);
    } else {
        const auto* question = ldns_rr_list_rr(questions, 0);
        ldns_pkt_push_rr(reply.get(), LDNS_SECTION_QUESTION, ldns_rr_clone(question));
        fill(names, reply.get(), question);
    }
    std::uint8_t* wire = nullptr;
    std::size_t wire_size = 0;
    if (ldns_pkt2wire(&wire, reply.get(), &wire_size) != LDNS_STATUS_OK) return {};
    std::vector<std::uint8_t> bytes(wire, wire + wire_size);
    ::free(wire);
    return bytes;
}

base::Result<std::unique_ptr<Resolver>> Resolver::start(const Names& names, const std::string& where,
                                                        std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    if (::inet_pton(AF_INET, where.c_str(), &address.sin_addr) != 1)
        return base::fail(ErrorKind::InvalidArgument, "'{}' is no IPv4 address", where);
    SB_TRY(Fd udp, bound_socket(SOCK_DGRAM, address));
    socklen_t size = sizeof address;
    ::getsockname(udp.get(), reinterpret_cast<sockaddr*>(&address), &size);
    SB_TRY(Fd tcp, bound_socket(SOCK_STREAM, address));
    return std::unique_ptr<Resolver>(new Resolver(names, std::move(udp), std::move(tcp), ntohs(address.sin_port)));
}

Resolver::Resolver(const Names& names, Fd udp, Fd tcp, std::uint16_t port)
    : names_(names), udp_(std::move(udp)), tcp_(std::move(tcp)), port_(port), thread_([this] { loop(); }) {}

Resolver::~Resolver() {
    stopping_ = true;
    thread_.join();
}

void Resolver::loop() {
    while (!stopping_) {
        pollfd fds[2] = {{udp_.get(), POLLIN, 0}, {tcp_.get(), POLLIN, 0}};
        if (::poll(fds, 2, poll_ms) <= 0) continue;
        if (fds[0].revents) serve_udp();
        if (fds[1].revents) serve_tcp();
    }
}

void Resolver::serve_udp() {
    std::uint8_t buffer[message_max];
    sockaddr_in from{};
    socklen_t from_size = sizeof from;
    const auto count = ::recvfrom(udp_.get(), buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from), &from_size);
    if (count <= 0) return;
    const auto reply = answer_dns(names_, buffer, static_cast<std::size_t>(count));
    if (!reply.empty())
        ::sendto(udp_.get(), reply.data(), reply.size(), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&from), from_size);
}

// One question per connection, within a second: a client that dawdles is cut.
void Resolver::serve_tcp() {
    const Fd peer(::accept4(tcp_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!peer) return;
    const timeval limit{tcp_timeout_s, 0};
    ::setsockopt(peer.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(peer.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    std::uint8_t header[2];
    std::uint8_t buffer[message_max];
    if (!read_all(peer.get(), header, 2)) return;
    const std::size_t size = static_cast<std::size_t>(header[0]) << 8 | header[1];
    if (size > sizeof buffer || !read_all(peer.get(), buffer, size)) return;
    auto reply = answer_dns(names_, buffer, size);
    if (reply.empty()) return;
    const std::uint8_t length[2] = {static_cast<std::uint8_t>(reply.size() >> 8),
                                    static_cast<std::uint8_t>(reply.size() & 255)};
    reply.insert(reply.begin(), length, length + 2);
    ::send(peer.get(), reply.data(), reply.size(), MSG_NOSIGNAL);
}

}  // namespace signalbox::lab
