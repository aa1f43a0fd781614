#include "adapters/haproxy/runtime_text.hpp"

#include <algorithm>
#include <map>

namespace signalbox::haproxy {
namespace {

using base::ErrorKind;
using base::fail;
using routing::TargetState;

// Columns of "show servers state", version 1.
constexpr std::string_view state_version = "1";
constexpr std::string_view state_header =
    "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight "
    "srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state "
    "bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord";
constexpr std::size_t column_backend = 1;
constexpr std::size_t column_name = 3;
constexpr std::size_t column_address = 4;
constexpr std::size_t column_operation = 5;
constexpr std::size_t column_admin = 6;
constexpr std::size_t column_weight = 7;
constexpr std::size_t column_fqdn = 17;
constexpr std::size_t column_port = 18;
constexpr std::size_t state_columns_min = 20;
constexpr std::uint64_t weight_max = 256;

// Columns of "show servers conn"; their number depends on HAProxy's threads.
constexpr std::string_view conn_header = "# bkname/svname bkid/svid addr port - purge_delay used_cur";
constexpr std::size_t column_used = 6;

// SRV_ADMF_* and enum srv_state of HAProxy's server-t.h.
constexpr std::uint64_t admin_maintenance = 0x01 | 0x02 | 0x04 | 0x20;
constexpr std::uint64_t admin_drain = 0x08 | 0x10;
constexpr std::uint64_t admin_max = 0xff;
constexpr std::uint64_t operation_starting = 1;
constexpr std::uint64_t operation_running = 2;
constexpr std::uint64_t operation_max = 3;

constexpr std::size_t quoted_max = 200;

std::string quoted(std::string_view text) {
    std::string shown(base::trim(text).substr(0, quoted_max));
    std::replace_if(
        shown.begin(), shown.end(), [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }, ' ');
    return shown;
}

tl::unexpected<base::Error> corrupt(std::string_view expected, std::string_view line) {
    return fail(ErrorKind::CorruptData, "expected {} from HAProxy, found '{}'", expected, quoted(line));
}

tl::unexpected<base::Error> denied() {
    return fail(ErrorKind::PermissionDenied,
                "HAProxy denies it: its 'stats socket' needs 'level admin', and this user the right to open it");
}

tl::unexpected<base::Error> no_backend() {
    return fail(ErrorKind::NotFound, "HAProxy has no such backend: check the names in its configuration");
}

TargetState state_of(std::uint64_t operation, std::uint64_t admin, std::uint64_t weight) {
    if ((admin & admin_maintenance) != 0) return TargetState::Unused;
    if ((admin & admin_drain) != 0 || weight == 0) return TargetState::Draining;
    // A server that starts slowly or stops softly passes some traffic.
    return operation == operation_running || operation == operation_starting ? TargetState::Healthy
                                                                             : TargetState::Unhealthy;
}

base::Result<Server> parse_state_line(std::string_view line, std::string_view backend) {
    const auto columns = base::split(line, ' ');
    if (columns.size() < state_columns_min) return corrupt("a server's state", line);
    if (columns[column_backend] != backend) return corrupt("a server of the backend asked for", line);
    const auto operation = base::parse_uint(columns[column_operation]);
    const auto admin = base::parse_uint(columns[column_admin]);
    const auto weight = base::parse_uint(columns[column_weight]);
    const auto port = base::parse_uint(columns[column_port]);
    if (!is_proxy_name(columns[column_name]) || !operation || *operation > operation_max || !admin ||
        *admin > admin_max || !weight || *weight > weight_max || !port || *port > 65535)
        return corrupt("a server's state", line);
    Server server;
    server.name = std::string(columns[column_name]);
    server.address.host = std::string(columns[column_address]);
    if (server.address.host == "-") server.address.host = std::string(columns[column_fqdn]);
    if (server.address.host == "-") server.address.host = server.name;
    if (server.address.host.empty()) return corrupt("a server's address", line);
    server.address.port = static_cast<std::uint16_t>(*port);
    server.weight = static_cast<std::uint32_t>(*weight);
    server.state = state_of(*operation, *admin, *weight);
    return server;
}

// Cuts the next block off, with its final empty line; nothing if there is none.
std::optional<std::vector<std::string_view>> next_block(std::string_view& text) {
    const std::size_t end = text.find("\n\n");
    if (end == std::string_view::npos) return std::nullopt;
    auto lines = base::split(text.substr(0, end), '\n');
    text.remove_prefix(end + 2);
    return lines;
}

base::Status add_sessions(std::vector<Server>& servers, const std::vector<std::string_view>& lines,
                          std::string_view backend) {
    if (!lines.front().starts_with(conn_header)) return corrupt("the list of servers' connections", lines.front());
    std::map<std::string, Server*, std::less<>> by_name;
    for (auto& server : servers) by_name[std::string(backend) + "/" + server.name] = &server;
    for (std::size_t i = 1; i < lines.size(); ++i) {
        const auto columns = base::split(lines[i], ' ');
        const auto used = columns.size() > column_used ? base::parse_uint(columns[column_used]) : std::nullopt;
        if (!used) return corrupt("a server's connections", lines[i]);
        const auto server = by_name.find(columns.front());
        if (server != by_name.end()) server->second->sessions = *used;
    }
    return {};
}

}  // namespace

bool is_proxy_name(std::string_view text) {
    return !text.empty() && text.size() <= 255 && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
               c == ':' || c == '-';
    });
}

base::Result<std::vector<Server>> parse_servers(std::string_view text, std::string_view backend) {
    if (text.starts_with("Permission denied")) return denied();
    if (text.starts_with("Can't find backend.")) return no_backend();
    const auto states = next_block(text);
    const auto connections = states ? next_block(text) : std::nullopt;
    if (!connections || !text.empty()) return corrupt("two whole lists of servers", text);
    if (states->front() != state_version) return corrupt("version 1 of the servers' states", states->front());
    if (states->size() < 2 || !(*states)[1].starts_with(state_header))
        return corrupt("the servers' states with their header", states->back());
    if (states->size() - 2 > servers_max)
        return fail(ErrorKind::CorruptData, "expected at most {} servers in a backend, found {}", servers_max,
                    states->size() - 2);
    std::vector<Server> servers;
    for (std::size_t i = 2; i < states->size(); ++i) {
        SB_TRY(Server server, parse_state_line((*states)[i], backend));
        servers.push_back(std::move(server));
    }
    SB_CHECK(add_sessions(servers, *connections, backend));
    return servers;
}

base::Result<Reply> parse_reply(std::string_view text) {
    const std::string_view reply = base::trim(text);
    if (reply.empty() || reply.ends_with("New server registered.") || reply.ends_with("Server deleted."))
        return Reply::Done;
    if (reply.starts_with("Permission denied")) return denied();
    if (reply.starts_with("Can't find backend.") || reply.starts_with("No such backend.")) return no_backend();
    if (reply.starts_with("No such server.")) return Reply::NoSuchServer;
    if (reply.starts_with("Already exists a server")) return Reply::NameTaken;
    if (reply.starts_with("Server still has connections")) return Reply::StillBusy;
    if (reply.starts_with("This server cannot be removed")) return Reply::StaticServer;
    if (reply.starts_with("Backend is using a static LB algorithm")) return Reply::StaticWeights;
    if (reply.starts_with("Backend must use a dynamic load balancing"))
        return fail(ErrorKind::NotSupported,
                    "HAProxy adds servers only to a backend with 'balance roundrobin', 'leastconn' or 'random'");
    if (reply.starts_with("Unknown command"))
        return fail(ErrorKind::NotSupported,
                    "HAProxy does not know a command of its runtime API: 2.6 or newer is needed");
    return fail(ErrorKind::InvalidArgument, "HAProxy refuses: {}", quoted(reply));
}

}  // namespace signalbox::haproxy
