#include "adapters/nftables/conntrack.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

namespace signalbox::kernel {
namespace {

using base::ErrorKind;
using base::fail;

constexpr std::size_t receive_bytes = 64 * 1024;
constexpr std::size_t batch_bytes = 32 * 1024;
constexpr std::size_t message_bytes_max = 512;  // of one deletion
constexpr std::size_t flows_max = 1'000'000;    // in one answer; a bound, not a limit of use

base::Status failed(std::string_view doing) {
    if (errno == EPERM) return fail(ErrorKind::PermissionDenied, "{}: CAP_NET_ADMIN is missing", doing);
    if (errno == EAGAIN) return fail(ErrorKind::Timeout, "{}: the kernel did not answer within a second", doing);
    return fail(ErrorKind::Unavailable, "{}: {}", doing, std::strerror(errno));
}

nlmsghdr* begin(char* buffer, std::uint8_t type, std::uint16_t flags, std::uint8_t family, std::uint32_t sequence) {
    nlmsghdr* header = mnl_nlmsg_put_header(buffer);
    header->nlmsg_type = static_cast<std::uint16_t>((NFNL_SUBSYS_CTNETLINK << 8) | type);
    header->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
    header->nlmsg_seq = sequence;
    auto* more = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(nfgenmsg)));
    more->nfgen_family = family;
    more->version = NFNETLINK_V0;
    more->res_id = 0;
    return header;
}

// The attributes of one nest, by type; a type that is too large for the array is left out.
template <std::size_t count>
using Attributes = std::array<const nlattr*, count>;

template <std::size_t count>
int keep(const nlattr* attribute, void* into) {
    auto& found = *static_cast<Attributes<count>*>(into);
    const std::uint16_t type = mnl_attr_get_type(attribute);
    if (type < count) found[type] = attribute;
    return MNL_CB_OK;
}

template <std::size_t count>
Attributes<count> nested(const nlattr* nest) {
    Attributes<count> found{};
    mnl_attr_parse_nested(nest, keep<count>, &found);
    return found;
}

bool read_ip(const nlattr* v4, const nlattr* v6, Address& into) {
    const nlattr* from = v4 != nullptr ? v4 : v6;
    into.v6 = v4 == nullptr;
    const std::size_t size = into.v6 ? 16 : 4;
    if (from == nullptr || mnl_attr_get_payload_len(from) != size) return false;
    std::memcpy(into.bytes.data(), mnl_attr_get_payload(from), size);
    return true;
}

// False: no TCP, or not whole.
bool read_tuple(const nlattr* tuple, Address& source, Address& destination) {
    if (tuple == nullptr) return false;
    const auto parts = nested<CTA_TUPLE_MAX + 1>(tuple);
    if (parts[CTA_TUPLE_IP] == nullptr || parts[CTA_TUPLE_PROTO] == nullptr) return false;
    const auto ip = nested<CTA_IP_MAX + 1>(parts[CTA_TUPLE_IP]);
    const auto protocol = nested<CTA_PROTO_MAX + 1>(parts[CTA_TUPLE_PROTO]);
    const nlattr* ports[] = {protocol[CTA_PROTO_SRC_PORT], protocol[CTA_PROTO_DST_PORT]};
    if (protocol[CTA_PROTO_NUM] == nullptr || mnl_attr_get_u8(protocol[CTA_PROTO_NUM]) != IPPROTO_TCP) return false;
    if (ports[0] == nullptr || ports[1] == nullptr) return false;
    source.port = ntohs(mnl_attr_get_u16(ports[0]));
    destination.port = ntohs(mnl_attr_get_u16(ports[1]));
    return read_ip(ip[CTA_IP_V4_SRC], ip[CTA_IP_V6_SRC], source) &&
           read_ip(ip[CTA_IP_V4_DST], ip[CTA_IP_V6_DST], destination);
}

Life read_life(const nlattr* info) {
    const nlattr* tcp = info == nullptr ? nullptr : nested<CTA_PROTOINFO_MAX + 1>(info)[CTA_PROTOINFO_TCP];
    const nlattr* state = tcp == nullptr ? nullptr : nested<CTA_PROTOINFO_TCP_MAX + 1>(tcp)[CTA_PROTOINFO_TCP_STATE];
    // Without a state the kernel is destroying the entry.
    switch (state == nullptr ? std::uint8_t{TCP_CONNTRACK_CLOSE} : mnl_attr_get_u8(state)) {
        case TCP_CONNTRACK_FIN_WAIT:
        case TCP_CONNTRACK_CLOSE_WAIT:
        case TCP_CONNTRACK_LAST_ACK:
            return Life::Closing;
        case TCP_CONNTRACK_TIME_WAIT:
            return Life::Over;
        case TCP_CONNTRACK_CLOSE:
            return Life::Reset;
        default:
            return Life::Running;
    }
}

struct Collected {
    std::vector<Flow> flows;
    bool too_many = false;
};

int collect(const nlmsghdr* message, void* into) {
    auto& collected = *static_cast<Collected*>(into);
    Attributes<CTA_MAX + 1> found{};
    mnl_attr_parse(message, sizeof(nfgenmsg), keep<CTA_MAX + 1>, &found);
    Flow flow;
    if (!read_tuple(found[CTA_TUPLE_ORIG], flow.client, flow.listen)) return MNL_CB_OK;
    if (!read_tuple(found[CTA_TUPLE_REPLY], flow.server, flow.seen_as)) return MNL_CB_OK;
    if (found[CTA_MARK] != nullptr) flow.mark = ntohl(mnl_attr_get_u32(found[CTA_MARK]));
    if (found[CTA_ID] != nullptr) flow.id = ntohl(mnl_attr_get_u32(found[CTA_ID]));
    flow.life = read_life(found[CTA_PROTOINFO]);
    flow.tuple.assign(static_cast<const char*>(mnl_attr_get_payload(found[CTA_TUPLE_ORIG])),
                      mnl_attr_get_payload_len(found[CTA_TUPLE_ORIG]));
    if (collected.flows.size() >= flows_max) {
        collected.too_many = true;
    } else {
        collected.flows.push_back(std::move(flow));
    }
    return MNL_CB_OK;
}

}  // namespace

void Conntrack::Close::operator()(mnl_socket* socket) const { mnl_socket_close(socket); }

base::Result<Conntrack> Conntrack::open() {
    mnl_socket* socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
    if (socket == nullptr) {
        return fail(ErrorKind::NotSupported, "no conntrack netlink socket ({}): the kernel needs CONFIG_NF_CT_NETLINK",
                    std::strerror(errno));
    }
    Conntrack conntrack(socket);
    if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0) {
        return tl::unexpected<base::Error>(failed("conntrack's netlink socket").error());
    }
    const timeval second{1, 0};
    setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second));
    return conntrack;
}

base::Result<std::vector<Flow>> Conntrack::flows(std::uint32_t mark, std::uint32_t mask) {
    const auto wrong = [] { return tl::unexpected<base::Error>(failed("listing flows").error()); };
    std::vector<char> buffer(receive_bytes);
    nlmsghdr* header = begin(buffer.data(), IPCTNL_MSG_CT_GET, NLM_F_DUMP, AF_UNSPEC, ++sequence_);
    mnl_attr_put_u32(header, CTA_MARK, htonl(mark));
    mnl_attr_put_u32(header, CTA_MARK_MASK, htonl(mask));
    if (mnl_socket_sendto(socket_.get(), header, header->nlmsg_len) < 0) return wrong();
    Collected collected;
    int more = MNL_CB_OK;
    while (more > MNL_CB_STOP) {
        const ssize_t size = mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size());
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) return wrong();
        // Answers to an earlier, timed-out question have another sequence number and are passed over.
        more = mnl_cb_run(buffer.data(), static_cast<std::size_t>(size), sequence_,
                          mnl_socket_get_portid(socket_.get()), collect, &collected);
        if (more < 0 && errno == EPROTO) more = MNL_CB_OK;
        if (more < 0) return wrong();
    }
    if (collected.too_many) return fail(ErrorKind::Unavailable, "more than {} flows of ours", flows_max);
    // A table that changes while it is read may show an entry twice.
    std::sort(collected.flows.begin(), collected.flows.end(),
              [](const Flow& a, const Flow& b) { return std::tie(a.id, a.tuple) < std::tie(b.id, b.tuple); });
    const auto end = std::unique(collected.flows.begin(), collected.flows.end(),
                                 [](const Flow& a, const Flow& b) { return a.id == b.id && a.tuple == b.tuple; });
    collected.flows.erase(end, collected.flows.end());
    return std::move(collected.flows);
}

base::Status Conntrack::drain_acknowledgement(std::uint32_t sequence) {
    std::vector<char> buffer(receive_bytes);
    // At most one error per message of the batch, then the acknowledgement of the last one.
    for (std::size_t i = 0; i < batch_bytes; ++i) {
        const ssize_t size = mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size());
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) return failed("deleting flows");
        int left = static_cast<int>(size);
        for (auto* header = reinterpret_cast<nlmsghdr*>(buffer.data()); mnl_nlmsg_ok(header, left);
             header = mnl_nlmsg_next(header, &left)) {
            if (header->nlmsg_type != NLMSG_ERROR) continue;
            const int code = -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(header))->error;
            if (code == EPERM) {
                errno = EPERM;
                return failed("deleting flows");
            }
            if (header->nlmsg_seq == sequence) return {};
        }
    }
    return fail(ErrorKind::Unavailable, "deleting flows: the kernel's answers make no sense");
}

base::Status Conntrack::remove(const std::vector<Flow>& flows) {
    std::vector<char> batch(batch_bytes + message_bytes_max);
    std::size_t used = 0;
    for (std::size_t i = 0; i < flows.size(); ++i) {
        const Flow& flow = flows[i];
        if (flow.tuple.size() > message_bytes_max / 2) continue;
        const bool last = i + 1 == flows.size() || used > batch_bytes - message_bytes_max;
        const auto flags = static_cast<std::uint16_t>(last ? NLM_F_ACK : 0);
        const auto family = static_cast<std::uint8_t>(flow.client.v6 ? AF_INET6 : AF_INET);
        nlmsghdr* header = begin(batch.data() + used, IPCTNL_MSG_CT_DELETE, flags, family, ++sequence_);
        mnl_attr_put(header, CTA_TUPLE_ORIG | NLA_F_NESTED, flow.tuple.size(), flow.tuple.data());
        mnl_attr_put_u32(header, CTA_ID, htonl(flow.id));
        used += MNL_ALIGN(header->nlmsg_len);
        if (!last) continue;
        if (mnl_socket_sendto(socket_.get(), batch.data(), used) < 0) return failed("deleting flows");
        SB_CHECK(drain_acknowledgement(sequence_));
        used = 0;
    }
    return {};
}

}  // namespace signalbox::kernel
