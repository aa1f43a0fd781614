#include "adapters/meter/ledger_store.hpp"

#include <algorithm>
#include <optional>
#include <thread>

namespace signalbox::meter {
namespace {

using base::ErrorKind;
using base::fail;

constexpr Duration connect_patience = std::chrono::seconds(2);
constexpr Duration statement_patience = std::chrono::seconds(10);
constexpr Duration pause = std::chrono::milliseconds(250);
constexpr std::size_t page_rows = 100'000;
constexpr int code_access_denied_to_database = 1044;

std::string ledger_name(const MeterOptions& options) {
    return fmt::format("`{}`.`{}`", options.database, options.table);
}

base::Status open(mysql::Client& client, const PathTarget& path) {
    mysql::ConnectParams params = path.connect;
    if (path.info.named && params.tls_ca_file.empty()) {
        Resolver resolver;
        SB_TRY(const NameAnswer answer, resolver.resolve(params.host, connect_patience));
        params.host = answer.addresses.front();
    }
    const auto connected = client.connect(params, connect_patience);
    if (connected) return {};
    base::Error error = connected.error();
    if (error.kind == ErrorKind::PermissionDenied) {
        error.message += params.password.empty() ? "; method: login without a password (none is given by password_file "
                                                   "or password_env in the URL)"
                                                 : "; method: login with the password that the URL names";
    }
    return base::in_context(std::move(error), "path " + path.info.name);
}

base::Result<bool> takes_writes(mysql::Client& client) {
    SB_TRY(const auto row,
           client.query("SELECT @@global.read_only AS r, @@global.innodb_read_only AS i", statement_patience));
    return row.cell("r") == "0" && row.cell("i") == "0";
}

base::Status create_table(mysql::Client& client, const MeterOptions& options) {
    const auto database =
        client.query(fmt::format("CREATE DATABASE IF NOT EXISTS `{}`", options.database), statement_patience);
    // Without the right to create it, it may be there already; the next statement tells.
    if (!database && database.error().code != code_access_denied_to_database) {
        return tl::unexpected<base::Error>(database.error());
    }
    const auto table = client.query(
        fmt::format(
            "CREATE TABLE {} (id BIGINT UNSIGNED NOT NULL PRIMARY KEY, path INT UNSIGNED NOT NULL, number BIGINT "
            "UNSIGNED NOT NULL, server_id BIGINT UNSIGNED NOT NULL, at DATETIME(6) NOT NULL, KEY (path, number)) "
            "ENGINE=InnoDB COMMENT='signalbox measure'",
            ledger_name(options)),
        statement_patience);
    if (!table) {
        base::Error error = table.error();
        error.message += "; the user needs CREATE, INSERT, SELECT and DROP on this database (another one: --database)";
        return base::in_context(std::move(error), "can't create the ledger " + ledger_name(options));
    }
    return {};
}

base::Status wait_for_table(const std::vector<const PathTarget*>& paths, const MeterOptions& options,
                            Duration patience) {
    const MonoTime deadline = mono_now() + patience;
    for (const PathTarget* path : paths) {
        for (;;) {
            mysql::Client client;
            base::Status shown = open(client, *path);
            if (shown) {
                const auto row =
                    client.query(fmt::format("SELECT COUNT(*) FROM {}", ledger_name(options)), statement_patience);
                if (row) break;
                shown = tl::unexpected<base::Error>(row.error());
            }
            if (mono_now() >= deadline) {
                return base::in_context(
                    shown.error(), fmt::format("path {} does not show the ledger that was created on the writer (does "
                                               "it belong to the same cluster, and replicate?)",
                                               path->info.name));
            }
            std::this_thread::sleep_for(pause);
        }
    }
    return {};
}

// What tells, cheaply, whether a member holds the same rows as another and whether more may still come.
struct Digest {
    bool writable = false;
    std::string rows;  // count and checksum
    std::uint64_t running = 0;
    friend bool operator==(const Digest&, const Digest&) = default;
};

base::Result<Digest> digest_of(mysql::Client& client, const MeterOptions& options) {
    Digest digest;
    SB_TRY(digest.writable, takes_writes(client));
    // A statement that its client gave up can still be waiting for its acknowledgement.
    SB_TRY(
        const auto running,
        client.query(fmt::format("SELECT COUNT(*) AS n FROM information_schema.processlist WHERE id <> connection_id() "
                                 "AND info LIKE 'INSERT INTO {}%'",
                                 ledger_name(options)),
                     statement_patience));
    digest.running = base::parse_uint(running.cell("n").value_or("0")).value_or(0);
    SB_TRY(const auto rows, client.query(fmt::format("SELECT COUNT(*) AS n, COALESCE(BIT_XOR(CRC32(CONCAT(path, '/', "
                                                     "number))), 0) AS x FROM {}",
                                                     ledger_name(options)),
                                         statement_patience));
    digest.rows = rows.cell("n").value_or("") + "/" + rows.cell("x").value_or("");
    return digest;
}

// Empty when all agree; else what is still waited for.
std::string disagreement(const std::vector<const PathTarget*>& members,
                         const std::vector<base::Result<Digest>>& digests) {
    std::size_t writers = 0;
    const Digest* reference = nullptr;
    for (std::size_t i = 0; i < members.size(); ++i) {
        if (!digests[i]) return members[i]->info.name + " does not answer";
        if (digests[i]->running > 0) return members[i]->info.name + " still runs a statement of this measurement";
        if (digests[i]->writable) ++writers;
        if (digests[i]->writable || reference == nullptr) reference = &*digests[i];
    }
    // Several paths to one cluster, none of them to a single member, may well lead to one writer each.
    if (writers != 1 && members.front()->info.member) return fmt::format("{} members take writes", writers);
    for (std::size_t i = 0; i < members.size(); ++i) {
        if (digests[i]->rows != reference->rows) return members[i]->info.name + " holds other rows than the writer";
    }
    return {};
}

base::Status fetch_rows(mysql::Client& client, const MeterOptions& options, std::size_t path_count,
                        std::vector<StoredRow>& rows) {
    for (std::size_t path = 0; path < path_count; ++path) {
        std::uint64_t after = 0;
        for (;;) {
            SB_TRY(const auto page,
                   client.query(fmt::format("SELECT number, COUNT(*) FROM {} WHERE path = {} AND number > {} GROUP BY "
                                            "number ORDER BY number LIMIT {}",
                                            ledger_name(options), path, after, page_rows),
                                statement_patience));
            for (const auto& row : page.rows) {
                after = base::parse_uint(row[0].value_or("")).value_or(0);
                const auto copies = base::parse_uint(row[1].value_or("")).value_or(1);
                rows.push_back(
                    StoredRow{RowId{static_cast<std::uint16_t>(path), after}, static_cast<std::uint32_t>(copies)});
            }
            if (page.rows.size() < page_rows) break;
        }
    }
    return {};
}

MemberRows fetch_member(const PathTarget& path, const MeterOptions& options, std::size_t path_count) {
    MemberRows member;
    member.member = path.info.name;
    const auto read = [&]() -> base::Status {
        mysql::Client client;
        SB_CHECK(open(client, path));
        SB_TRY(member.writable, takes_writes(client));
        return fetch_rows(client, options, path_count, member.rows);
    }();
    member.readable = read.has_value();
    if (!read) {
        member.error = read.error().text();
        member.rows.clear();
    }
    return member;
}

std::vector<const PathTarget*> members_of(const std::vector<PathTarget>& paths) {
    std::vector<const PathTarget*> members;
    for (const PathTarget& path : paths) {
        if (path.info.member) members.push_back(&path);
    }
    if (!members.empty()) return members;
    for (const PathTarget& path : paths) members.push_back(&path);
    return members;
}

}  // namespace

base::Status create_ledger(const std::vector<PathTarget>& paths, const MeterOptions& options, Duration patience) {
    std::vector<const PathTarget*> reachable;
    std::vector<std::string> refused;
    std::string unreachable;
    base::Status made = fail(ErrorKind::Unavailable, "no path takes writes: all say that they are read-only");
    bool created = false;
    for (const PathTarget& path : paths) {
        mysql::Client client;
        const auto opened = open(client, path);
        if (!opened) {
            if (opened.error().kind == ErrorKind::PermissionDenied) refused.push_back(opened.error().text());
            unreachable += (unreachable.empty() ? "" : "\n") + opened.error().text();
            continue;
        }
        reachable.push_back(&path);
        if (created) continue;
        const auto writable = takes_writes(client);
        if (!writable || !*writable) continue;
        made = create_table(client, options);
        if (!made) return base::in_context(made.error(), "path " + path.info.name);
        created = true;
    }
    if (!refused.empty()) {
        if (created) static_cast<void>(drop_ledger(paths, options));
        return tl::unexpected<base::Error>(
            base::Error{ErrorKind::Unavailable, base::join(refused, "\n"), "login refused", 0});
    }
    if (reachable.empty()) return fail(ErrorKind::Unavailable, "no path can be reached:\n{}", unreachable);
    if (!made) return made;
    base::Status shown = wait_for_table(reachable, options, patience);
    if (!shown) static_cast<void>(drop_ledger(paths, options));
    return shown;
}

std::vector<MemberRows> read_back(const std::vector<PathTarget>& paths, const MeterOptions& options, Duration patience,
                                  const std::function<void(const std::string&)>& progress,
                                  const std::function<bool()>& give_up) {
    const std::vector<const PathTarget*> members = members_of(paths);
    const MonoTime deadline = mono_now() + patience;
    while (!give_up()) {
        std::vector<base::Result<Digest>> digests;
        for (const PathTarget* member : members) {
            mysql::Client client;
            const auto opened = open(client, *member);
            digests.push_back(opened ? digest_of(client, options) : tl::unexpected<base::Error>(opened.error()));
        }
        const std::string waiting = disagreement(members, digests);
        if (waiting.empty() || mono_now() >= deadline) break;
        progress(waiting);
        std::this_thread::sleep_for(pause);
    }
    std::vector<MemberRows> rows;
    for (const PathTarget* member : members) rows.push_back(fetch_member(*member, options, paths.size()));
    return rows;
}

base::Status drop_ledger(const std::vector<PathTarget>& paths, const MeterOptions& options) {
    base::Error last{ErrorKind::Unavailable, "no path takes writes", {}, 0};
    for (const PathTarget& path : paths) {
        mysql::Client client;
        const auto opened = open(client, path);
        const auto writable = opened ? takes_writes(client) : tl::unexpected<base::Error>(opened.error());
        if (!writable || !*writable) continue;
        const auto dropped =
            client.query(fmt::format("DROP TABLE IF EXISTS {}", ledger_name(options)), statement_patience);
        if (dropped) return {};
        last = dropped.error();
    }
    return base::in_context(std::move(last), "the ledger " + ledger_name(options) + " is left behind");
}

}  // namespace signalbox::meter
