#include "adapters/mysql/sessions.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <set>
#include <thread>

namespace signalbox::mysql {
namespace {

using probing::Clock;
using probing::Ended;

constexpr int code_no_such_thread = 1094;
constexpr int code_kill_denied = 1095;
constexpr int code_access_denied = 1227;
constexpr auto round_pause = std::chrono::milliseconds(2);
constexpr auto settle_time = std::chrono::milliseconds(20);
constexpr std::size_t kills_in_one_text = 1000;

base::Duration left(Clock::time_point until) {
    return std::max(base::Duration(0), base::Duration(until - Clock::now()));
}

std::optional<in6_addr> parse_address(const std::string& text) {
    in6_addr six{};
    if (inet_pton(AF_INET6, text.c_str(), &six) == 1) return six;
    if (inet_pton(AF_INET6, ("::ffff:" + text).c_str(), &six) == 1) return six;
    return std::nullopt;
}

bool is_loopback(const in6_addr& address) {
    return IN6_IS_ADDR_LOOPBACK(&address) != 0 || (IN6_IS_ADDR_V4MAPPED(&address) != 0 && address.s6_addr[12] == 127);
}

bool denied(const base::Error& error) { return error.code == code_kill_denied || error.code == code_access_denied; }

// What is wanted, and what came of it so far.
struct Wanted {
    std::vector<std::uint64_t> ids;
    std::vector<base::HostPort> clients;
    std::uint64_t hopeless = 0;  // neither id nor a readable address
};

Wanted wanted_of(const std::vector<clusters::ServerSession>& sessions) {
    Wanted wanted;
    for (const clusters::ServerSession& session : sessions) {
        const auto client = base::parse_host_port(session.client);
        if (session.connection_id != 0) {
            wanted.ids.push_back(session.connection_id);
        } else if (client) {
            wanted.clients.push_back(*client);
        } else {
            ++wanted.hopeless;
        }
    }
    return wanted;
}

std::string look_text(const Wanted& wanted) {
    std::string text = "SELECT ID, HOST FROM information_schema.PROCESSLIST WHERE 0";
    if (!wanted.ids.empty()) text += fmt::format(" OR ID IN ({})", fmt::join(wanted.ids, ","));
    if (!wanted.clients.empty()) {
        std::set<std::uint16_t> ports;
        for (const auto& client : wanted.clients) ports.insert(client.port);
        text += fmt::format(" OR SUBSTRING_INDEX(HOST, ':', -1) IN ('{}')", fmt::join(ports, "','"));
    }
    return text;
}

// The sessions of `seen` that are wanted still: how many of the wanted live, and whom to kill.
struct Living {
    std::uint64_t count = 0;
    std::uint64_t unclear = 0;
    std::vector<std::uint64_t> ids;
};

Living living(const Wanted& wanted, const ResultSet& seen) {
    Living result;
    std::vector<std::pair<std::uint64_t, std::string>> rows;
    for (std::size_t row = 0; row < seen.rows.size(); ++row) {
        rows.emplace_back(base::parse_uint(seen.cell(row, "ID").value_or("")).value_or(0),
                          seen.cell(row, "HOST").value_or(""));
    }
    const std::set<std::uint64_t> ids(wanted.ids.begin(), wanted.ids.end());
    for (const auto& [id, host] : rows) {
        if (!ids.contains(id)) continue;
        ++result.count;
        result.ids.push_back(id);
    }
    for (const base::HostPort& client : wanted.clients) {
        auto same = SameClient::No;
        for (const auto& [id, host] : rows) {
            const auto here = same_client(host, client);
            if (here == SameClient::Yes) result.ids.push_back(id);
            if (here != SameClient::No && same != SameClient::Yes) same = here;
        }
        if (same != SameClient::No) ++result.count;
        if (same == SameClient::Unclear) ++result.unclear;
    }
    return result;
}

// Tells all of them to end, in as few round trips as the answers allow: a text stops at its first error.
base::Status kill_all(Client& client, std::vector<std::uint64_t> ids, Clock::time_point until, bool& was_denied) {
    while (!ids.empty()) {
        const std::size_t size = std::min(ids.size(), kills_in_one_text);
        std::string text;
        for (std::size_t i = 0; i < size; ++i) text += fmt::format("{}KILL CONNECTION {}", i == 0 ? "" : ";", ids[i]);
        std::vector<ResultSet> answered;
        const auto killed = client.query_all(text, left(until), &answered);
        if (killed) {
            ids.erase(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(size));
            continue;
        }
        if (!client.connected()) return tl::unexpected<base::Error>(killed.error());
        if (denied(killed.error())) was_denied = true;
        // Gone already, or not ours to end: on with those after it.
        ids.erase(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(std::min(answered.size() + 1, ids.size())));
    }
    return {};
}

std::string_view no_right() {
    return "the server does not let this user end them: GRANT CONNECTION ADMIN (MySQL: CONNECTION_ADMIN) ON *.*";
}

// With PROCESS: the process list tells who lives.
Ended end_by_list(Client& client, const Wanted& wanted, Clock::time_point until) {
    const std::uint64_t all = wanted.ids.size() + wanted.clients.size();
    Ended ended;
    bool was_denied = false;
    // Where some may not be ended, those that could be told are gone in a moment: some more rounds for the count.
    auto rounds_end = until;
    for (;;) {
        const auto seen = client.query(look_text(wanted), left(until));
        if (!seen) {
            ended.text = seen.error().text();
            return ended;
        }
        const Living now = living(wanted, *seen);
        ended.count = all - now.count;
        if (now.count == 0) return ended;
        if (was_denied) {
            ended.text = no_right();
        } else if (now.unclear == now.count) {
            ended.text =
                "the server shows names in place of addresses (skip_name_resolve is off), so sessions known by"
                " address alone can't be told apart";
            return ended;
        } else {
            ended.text = "they did not end in time";
        }
        if (Clock::now() >= rounds_end) return ended;
        if (const auto told = kill_all(client, now.ids, until, was_denied); !told) {
            ended.text = told.error().text();
            return ended;
        }
        if (was_denied) rounds_end = std::min(rounds_end, Clock::now() + settle_time);
        std::this_thread::sleep_for(std::min<base::Duration>(round_pause, left(until)));
    }
}

// Without it: a session is gone when the server says that there is no such thread.
Ended end_by_asking(Client& client, std::vector<std::uint64_t> ids, Clock::time_point until) {
    Ended ended;
    while (!ids.empty() && Clock::now() < until && client.connected()) {
        std::vector<std::uint64_t> remaining;
        ended.text = "they did not end in time";
        for (const std::uint64_t id : ids) {
            const auto killed = client.query(fmt::format("KILL CONNECTION {}", id), left(until));
            if (!killed && killed.error().code == code_no_such_thread) {
                ++ended.count;
                continue;
            }
            if (!killed) ended.text = denied(killed.error()) ? std::string(no_right()) : killed.error().text();
            if (killed || !denied(killed.error())) remaining.push_back(id);
        }
        ids.swap(remaining);
        if (!ids.empty()) std::this_thread::sleep_for(std::min<base::Duration>(round_pause, left(until)));
    }
    return ended;
}

}  // namespace

SameClient same_client(std::string_view host_column, const base::HostPort& client) {
    const std::size_t colon = host_column.rfind(':');
    if (colon == std::string_view::npos || base::parse_uint(host_column.substr(colon + 1)) != client.port) {
        return SameClient::No;
    }
    const std::string host(host_column.substr(0, colon));
    const auto here = parse_address(host);
    const auto there = parse_address(client.host);
    if (!there) return SameClient::Unclear;
    if (here) return IN6_ARE_ADDR_EQUAL(&*here, &*there) ? SameClient::Yes : SameClient::No;
    if (base::equal_ignoring_case(host, "localhost")) return is_loopback(*there) ? SameClient::Yes : SameClient::No;
    return SameClient::Unclear;
}

base::Result<bool> has_process_privilege(Client& client, base::Duration timeout) {
    SB_TRY(const auto found,
           client.query("SELECT COUNT(*) AS n FROM information_schema.USER_PRIVILEGES WHERE PRIVILEGE_TYPE = 'PROCESS'"
                        " AND GRANTEE = CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), '''')",
                        timeout));
    return found.cell("n").value_or("0") != "0";
}

Ended end_sessions(Client& client, const std::vector<clusters::ServerSession>& sessions, bool sees_all,
                   Clock::time_point until) {
    Wanted wanted = wanted_of(sessions);
    Ended ended;
    if (sees_all) {
        if (!wanted.ids.empty() || !wanted.clients.empty()) ended = end_by_list(client, wanted, until);
    } else {
        ended = end_by_asking(client, wanted.ids, until);
        if (!wanted.clients.empty()) {
            ended.text = "sessions known by address alone can't be found: GRANT PROCESS ON *.* to this user";
        }
    }
    if (ended.count == sessions.size()) {
        ended.text.clear();
    } else if (ended.text.empty()) {
        ended.text = "neither connection id nor address is known";
    }
    return ended;
}

}  // namespace signalbox::mysql
