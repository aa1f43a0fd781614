#include "adapters/postgres/sessions.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <thread>

namespace signalbox::postgres {
namespace {

using probing::Clock;
using probing::Ended;

constexpr auto round_pause = std::chrono::milliseconds(2);
constexpr auto settle_time = std::chrono::milliseconds(20);

base::Duration left(Clock::time_point until) {
    return std::max(base::Duration(0), base::Duration(until - Clock::now()));
}

bool is_address(const std::string& text) {
    in6_addr any{};
    return inet_pton(AF_INET, text.c_str(), &any) == 1 || inet_pton(AF_INET6, text.c_str(), &any) == 1;
}

// A condition on pg_stat_activity that is true for the wanted ones; `count` of them can be named so.
std::string wanted_text(const std::vector<clusters::ServerSession>& sessions, bool reads_stats, std::uint64_t& count,
                        bool& hidden) {
    std::vector<std::string> ids;
    std::vector<std::string> clients;
    for (const clusters::ServerSession& session : sessions) {
        const auto client = base::parse_host_port(session.client);
        if (session.connection_id != 0) {
            ids.push_back(std::to_string(session.connection_id));
        } else if (!reads_stats) {
            hidden = true;
        } else if (client && is_address(client->host)) {
            clients.push_back(fmt::format("('{}'::inet,{})", client->host, client->port));
        }
    }
    count = ids.size() + clients.size();
    std::string text = "false";
    if (!ids.empty()) text += fmt::format(" OR pid IN ({})", base::join(ids, ","));
    if (!clients.empty()) text += fmt::format(" OR (client_addr, client_port) IN ({})", base::join(clients, ","));
    return text;
}

// One session that may not be ended must not keep the others alive: each is tried by itself.
std::string kill_text(const std::vector<std::string>& pids) {
    return fmt::format(
        "DO $$DECLARE p int; BEGIN FOREACH p IN ARRAY ARRAY[{}] LOOP BEGIN PERFORM pg_terminate_backend(p);"
        " EXCEPTION WHEN insufficient_privilege THEN PERFORM set_config('signalbox.denied', 'yes', true);"
        " END; END LOOP; END$$; ",
        base::join(pids, ","));
}

}  // namespace

Ended end_sessions(Client& client, const std::vector<clusters::ServerSession>& sessions, bool reads_stats,
                   Clock::time_point until) {
    Ended ended;
    std::uint64_t named = 0;
    bool hidden = false;
    const std::string look =
        "SELECT pid, current_setting('signalbox.denied', true) AS denied FROM pg_stat_activity WHERE " +
        wanted_text(sessions, reads_stats, named, hidden);
    const std::string_view rest =
        hidden ? "sessions known by address alone can't be found: GRANT pg_read_all_stats to this user"
        : named < sessions.size() ? "neither connection id nor address is known"
                                  : "";
    if (named == 0) {
        ended.text = rest;
        return ended;
    }
    std::string text = look;
    // Where some may not be ended, those that could be told are gone in a moment: some more rounds for the count.
    auto rounds_end = until;
    for (;;) {
        const auto results = client.query_all(text, left(until));
        if (!results) {
            ended.text = results.error().text();
            return ended;
        }
        const ResultSet& seen = results->back();
        std::vector<std::string> pids;
        for (const auto& row : seen.rows) pids.push_back(row.front().value_or("0"));
        ended.count = named - std::min<std::uint64_t>(named, pids.size());
        ended.text = rest;
        if (pids.empty()) return ended;
        const bool denied = seen.cell("denied") == "yes";
        ended.text = denied ? "the server does not let this user end them: GRANT pg_signal_backend to it (superusers'"
                              " sessions can be ended by superusers alone)"
                            : "they did not end in time";
        if (Clock::now() >= rounds_end) return ended;
        if (denied) rounds_end = std::min(rounds_end, Clock::now() + settle_time);
        if (results->size() > 1) std::this_thread::sleep_for(std::min<base::Duration>(round_pause, left(until)));
        text = kill_text(pids) + look;
    }
}

}  // namespace signalbox::postgres
