#include "lab/postgres.hpp"

#include <atomic>
#include <csignal>
#include <filesystem>
#include <unistd.h>

#include "base/text.hpp"
#include "lab/postgres_client.hpp"

namespace signalbox::lab {

using base::ErrorKind;
using base::fail;
using namespace std::chrono_literals;

namespace {

const std::string programs = "/usr/lib/postgresql/15/bin/";
constexpr auto install_timeout = 120s;
constexpr auto rejoin_timeout = 60s;
constexpr auto statement_timeout = 5s;
constexpr auto promote_timeout = 20s;
constexpr auto reload_timeout = 3s;
// So long a receiver may go on reading what the network still holds for it, before it is ended.
constexpr auto receiver_grace = 20ms;
constexpr auto poll_pause = 2ms;

class PostgresPulse : public Pulse {
  public:
    explicit PostgresPulse(PostgresClient::Params params) : params_(std::move(params)) {}
    bool ask(base::Duration timeout) override { return client_.row("SELECT 1", timeout).has_value(); }
    bool connect(base::Duration timeout) override { return client_.connect(params_, timeout).has_value(); }
    void close() override { client_.close(); }

  private:
    PostgresClient::Params params_;
    PostgresClient client_;
};

class Postgres : public Member {
  public:
    Postgres(Setup setup, const ClusterSpec& spec, std::string template_directory, std::string account)
        : Member(std::move(setup)), template_(std::move(template_directory)), account_(std::move(account)) {
        for (const auto& member : spec.members)
            names_ += (names_.empty() ? "" : ", ") + PostgresClient::identifier(member.name);
    }

    base::Status make_data() override;
    base::Status start(Recovery recovery) override;
    bool ready() override;
    base::Status create_accounts(const ClusterSpec& spec) override;
    std::unique_ptr<Pulse> make_pulse() const override;
    bool must_rejoin() const override;
    base::Status rejoin(Member& writer, const Source& source) override;
    base::Status start_afresh() override;

    base::Status open(bool alone) override;
    base::Status acknowledge_alone(bool alone) override;
    base::Result<Position> written() override;
    base::Result<Position> quiesce(base::Duration timeout) override;

    base::Result<bool> may_follow(Member& writer) override;
    base::Status follow(const Source& source) override;
    bool receiving() override;
    base::Result<Position> stop_receiving() override;
    base::Status reach(const Position& position, base::Duration timeout) override;
    base::Result<Position> take_over() override;
    base::Status claim() override;
    std::string shown_position() const override;

  protected:
    void disconnect() override { client_.close(); }
    // Its processes each lead a group of their own. The first one is stopped first, so that it starts no more.
    void signal_all(int number) override;

  private:
    std::string data() const { return setup_.directory + "/db"; }
    std::string configuration() const { return setup_.directory + "/postgresql.conf"; }
    PostgresClient::Params local() const {
        return {setup_.directory, default_port("postgresql"), "postgres", {}, "postgres"};
    }
    std::string upstream(const std::string& host, std::uint16_t port) const;
    base::Status write_configuration();
    base::Status reload();
    void sweep();
    base::Result<std::string> value(const std::string& sql, base::Duration timeout = statement_timeout);
    base::Status execute(const std::string& sql, base::Duration timeout = statement_timeout);
    base::Result<Position> held();
    base::Result<std::string> control_value(const std::string& key) const;
    base::Status run(std::vector<std::string> argv, base::Duration timeout) const;
    base::Status rewind(const Postgres& writer);
    base::Status clone(const Postgres& writer);
    base::Status promote();
    base::Status grant(const UserSpec& user, const std::string& grant, const ClusterSpec& spec);
    base::Status execute_in(const std::string& database, const std::string& sql) const;

    std::string template_;
    std::string account_;
    std::string names_;  // of all members, as synchronous_standby_names takes them
    Source source_;      // whom it receives from; no address: from nobody
    bool alone_ = false;
    // Its data are whole by themselves: it may start without anybody to receive from.
    std::atomic<bool> whole_ = true;
    PostgresClient client_;
};

base::Status Postgres::make_data() {
    source_ = {};
    whole_ = true;
    return copy_template(template_, data(), account_);
}

std::string Postgres::upstream(const std::string& host, std::uint16_t port) const {
    return fmt::format(
        "host={} port={} user={} password={} application_name={} connect_timeout=2 "
        "tcp_user_timeout=3000 keepalives_idle=1 keepalives_interval=1 keepalives_count=3",
        host, port, replication_user, setup_.secrets.replication_password, name());
}

// Outside of the data directory, which a rewind or a clone takes from another member.
base::Status Postgres::write_configuration() {
    const auto& directory = setup_.directory;
    std::string text = fmt::format(
        "listen_addresses = '0.0.0.0'\nport = {}\nunix_socket_directories = '{}'\nunix_socket_permissions = 0700\n"
        "hba_file = '{}/pg_hba.conf'\nident_file = '{}/pg_ident.conf'\n"
        "ssl = on\nssl_ca_file = '{}/ca.pem'\nssl_cert_file = '{}/server.pem'\nssl_key_file = '{}/server.key'\n",
        default_port("postgresql"), directory, directory, directory, directory, directory, directory);
    text +=
        "password_encryption = 'scram-sha-256'\n"
        "wal_level = logical\nmax_wal_senders = 32\nmax_replication_slots = 16\nmax_logical_replication_workers = 4\n"
        "wal_log_hints = on\nhot_standby = on\nwal_keep_size = 128MB\nmax_wal_size = 128MB\nmin_wal_size = 32MB\n"
        "synchronous_commit = on\nwal_receiver_status_interval = 1s\n"
        "wal_receiver_timeout = 3s\nwal_sender_timeout = 3s\nwal_retrieve_retry_interval = 100ms\n"
        "max_connections = 400\nshared_buffers = 32MB\nmax_prepared_transactions = 16\njit = off\n"
        "autovacuum_naptime = 10s\nlog_line_prefix = '%m [%p] '\nlog_destination = 'stderr'\n";
    text += fmt::format("synchronous_standby_names = '{}'\n", alone_ ? "" : "ANY 1 (" + names_ + ")");
    text += fmt::format("primary_conninfo = '{}'\n",
                        source_.address.empty() ? "" : upstream(source_.address, source_.port));
    SB_CHECK(write_file(configuration() + ".new", text, 0600));
    SB_CHECK(give_to(account_, configuration() + ".new"));
    // Never half of it: a reload may come at any time.
    std::error_code error;
    std::filesystem::rename(configuration() + ".new", configuration(), error);
    if (error) return fail(ErrorKind::Unavailable, "{}: {}", configuration(), error.message());
    return {};
}

base::Status Postgres::reload() {
    SB_CHECK(write_configuration());
    if (::kill(pid(), SIGHUP) != 0) return errno_error(name());
    return {};
}

base::Status Postgres::start(Recovery recovery) {
    sweep();
    const auto& directory = setup_.directory;
    alone_ = false;
    if (whole_ || recovery == Recovery::AsWriter) source_ = {};
    // The lab's own process and the servers' user come in through the socket; everybody else shows a password.
    SB_CHECK(write_file(directory + "/pg_hba.conf",
                        "local all postgres peer map=lab\nlocal replication postgres peer map=lab\nhost all all "
                        "0.0.0.0/0 scram-sha-256\n"
                        "host replication all 0.0.0.0/0 scram-sha-256\n"));
    SB_CHECK(write_file(directory + "/pg_ident.conf", "lab root postgres\nlab " + account_ + " postgres\n"));
    SB_CHECK(write_configuration());
    // A member whose promotion was cut off goes on from there: opened without one it would write on in a timeline that
    // is not its own.
    const auto state = control_value("Database cluster state");
    const bool was_reader = state && (*state == "in archive recovery" || *state == "shut down in recovery");
    if (recovery == Recovery::AsReader || was_reader) SB_CHECK(write_file(data() + "/standby.signal", "", 0644));
    setup_.log.line("{}: starting as a {}", name(), recovery == Recovery::AsWriter ? "writer" : "reader");
    return spawn({programs + "postgres", "-D", data(), "-c", "config_file=" + configuration()}, account_);
}

// What a killed server left running would keep the data directory from the next one.
void Postgres::sweep() {
    constexpr int passes_max = 1000;
    for (int i = 0; i < passes_max && signal_program_in(setup_.node.netns, programs + "postgres", SIGKILL) > 0; ++i)
        std::this_thread::sleep_for(poll_pause);
    std::error_code error;
    std::filesystem::remove(data() + "/postmaster.pid", error);
    std::filesystem::remove(data() + "/standby.signal", error);
}

bool Postgres::ready() {
    if (!alive() || paused()) return false;
    if (client_.connected()) return true;
    if (::access((setup_.directory + "/.s.PGSQL." + std::to_string(default_port("postgresql"))).c_str(), F_OK) != 0)
        return false;
    if (!client_.connect(local(), 500ms)) return false;
    whole_ = true;
    return true;
}

void Postgres::signal_all(int number) {
    const auto netns = setup_.node.netns;
    const auto program = programs + "postgres";
    ::kill(pid(), SIGSTOP);
    if (number == SIGKILL || number == SIGSTOP) signal_program_in(netns, program, SIGSTOP);
    signal_program_in(netns, program, number);
    ::kill(pid(), number == SIGSTOP ? SIGSTOP : number);
}

base::Result<std::string> Postgres::value(const std::string& sql, base::Duration timeout) {
    if (!ready()) return fail(ErrorKind::Unavailable, "{}: takes no connection", name());
    auto result = client_.value(sql, timeout);
    if (!result) return base::in_context(result.error(), name());
    return result;
}

base::Status Postgres::execute(const std::string& sql, base::Duration timeout) {
    if (!ready()) return fail(ErrorKind::Unavailable, "{}: takes no connection", name());
    const auto result = client_.row(sql, timeout);
    if (!result) return base::in_context(result.error(), name());
    return {};
}

base::Status Postgres::execute_in(const std::string& database, const std::string& sql) const {
    PostgresClient client;
    auto params = local();
    params.database = database;
    SB_CHECK(client.connect(params, statement_timeout));
    const auto result = client.row(sql, statement_timeout);
    if (!result) return tl::unexpected<base::Error>(result.error());
    return {};
}

std::unique_ptr<Pulse> Postgres::make_pulse() const {
    return std::make_unique<PostgresPulse>(PostgresClient::Params{
        address(), default_port("postgresql"), std::string(health_user), setup_.secrets.health_password, "postgres"});
}

// ---- accounts

// Three forms: an attribute of the role, a role to be a member of, "PRIVILEGES ON WHAT".
base::Status Postgres::grant(const UserSpec& user, const std::string& grant, const ClusterSpec& spec) {
    const auto role = PostgresClient::identifier(user.name);
    for (const char* attribute : {"SUPERUSER", "CREATEDB", "CREATEROLE", "REPLICATION", "BYPASSRLS"})
        if (grant == attribute) return execute(fmt::format("ALTER ROLE {} {}", role, attribute));
    const auto on = grant.find(" ON ");
    if (on == std::string::npos) return execute(fmt::format("GRANT {} TO {}", PostgresClient::identifier(grant), role));
    const std::string what = grant.substr(on + 4);
    constexpr std::string_view on_database = "DATABASE ";
    if (what.starts_with(on_database)) {
        SB_CHECK(execute(fmt::format("GRANT {} TO {}", grant, role)));
        // As in MariaDB, who has all of a database may make tables in it.
        if (!grant.starts_with("ALL ")) return {};
        const std::string database(base::trim(what.substr(on_database.size())));
        return execute_in(database, fmt::format("GRANT ALL ON SCHEMA public TO {}", role));
    }
    SB_CHECK(execute_in("postgres", fmt::format("GRANT {} TO {}", grant, role)));
    for (const auto& database : spec.databases)
        SB_CHECK(execute_in(database, fmt::format("GRANT {} TO {}", grant, role)));
    return {};
}

base::Status Postgres::create_accounts(const ClusterSpec& spec) {
    const auto create = [&](std::string_view role, const std::string& password, const char* attributes) {
        return execute(fmt::format("CREATE ROLE {} LOGIN {} PASSWORD {}", PostgresClient::identifier(std::string(role)),
                                   attributes, PostgresClient::literal(password)));
    };
    alone_ = true;  // until a reader is there
    SB_CHECK(acknowledge_alone(true));
    SB_CHECK(execute("SET synchronous_commit = local"));
    SB_CHECK(create(replication_user, setup_.secrets.replication_password, "REPLICATION"));
    SB_CHECK(create(health_user, setup_.secrets.health_password, ""));
    for (const auto& database : spec.databases)
        SB_CHECK(execute("CREATE DATABASE " + PostgresClient::identifier(database)));
    for (const auto& user : spec.users) {
        SB_CHECK(create(user.name, user.password, ""));
        for (const auto& text : user.grants)
            if (const auto status = grant(user, text, spec); !status)
                return base::in_context(status.error(),
                                        fmt::format("cluster '{}', user '{}', grant '{}'", spec.name, user.name, text));
    }
    return execute("RESET synchronous_commit");
}

// ---- as the writer

base::Status Postgres::promote() {
    const auto deadline = Clock::now() + promote_timeout;
    SB_TRY(const auto recovering, value("SELECT pg_is_in_recovery()"));
    if (recovering == "f") return {};
    SB_CHECK(execute("SELECT pg_promote(false)"));
    while (Clock::now() < deadline) {
        SB_TRY(const auto still, value("SELECT pg_is_in_recovery()"));
        if (still == "f") return {};
        std::this_thread::sleep_for(poll_pause);
    }
    return fail(ErrorKind::Timeout, "{}: was not promoted within {}", name(), base::format_duration(promote_timeout));
}

base::Status Postgres::open(bool alone) {
    SB_CHECK(acknowledge_alone(alone));
    return promote();
}

base::Status Postgres::acknowledge_alone(bool alone) {
    if (alone_ == alone && !alone) return {};
    alone_ = alone;
    SB_CHECK(reload());
    if (alone) return {};
    const auto deadline = Clock::now() + reload_timeout;
    const std::string wanted = "ANY 1 (" + names_ + ")";
    for (;;) {
        SB_TRY(const auto shown, value("SHOW synchronous_standby_names"));
        if (shown == wanted) break;
        if (Clock::now() > deadline)
            return fail(ErrorKind::Timeout, "{}: did not read its configuration within {}", name(),
                        base::format_duration(reload_timeout));
        std::this_thread::sleep_for(poll_pause);
    }
    SB_TRY(const auto text, value("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"));
    const auto checkpointer = base::parse_int(text);
    if (!checkpointer || ::kill(static_cast<pid_t>(*checkpointer), SIGHUP) != 0)
        return fail(ErrorKind::Unavailable, "{}: its checkpointer '{}' can't be told", name(), text);
    SB_CHECK(execute("CHECKPOINT", promote_timeout));
    return execute("CHECKPOINT", promote_timeout);
}

base::Result<Position> Postgres::written() {
    SB_TRY(const auto text, value("SELECT pg_current_wal_flush_lsn()"));
    return parse_lsn(text);
}

// A fast shutdown: sessions end, their commits stay unacknowledged or have a reader, and the senders send all that
// there is before they end. There is no other way to make PostgreSQL take no more writes from anybody.
base::Result<Position> Postgres::quiesce(base::Duration timeout) {
    disconnect();
    if (::kill(pid(), SIGINT) != 0) return errno_error(name());
    if (!wait_for_end(timeout))
        return fail(ErrorKind::Timeout, "{}: did not shut down within {}", name(), base::format_duration(timeout));
    SB_TRY(const auto state, control_value("Database cluster state"));
    if (state != "shut down") return fail(ErrorKind::Unavailable, "{}: ended as '{}'", name(), state);
    SB_TRY(const auto text, control_value("Latest checkpoint location"));
    return parse_lsn(text);
}

// ---- as a reader

// What parted from the writer's history was rewound before the start.
base::Result<bool> Postgres::may_follow(Member& /*writer*/) {
    SB_TRY(const auto recovering, value("SELECT pg_is_in_recovery()"));
    return recovering == "t";
}

base::Status Postgres::follow(const Source& source) {
    if (source_.address == source.address && source_.port == source.port) return {};
    source_ = source;
    return reload();
}

bool Postgres::receiving() {
    const auto status = value("SELECT status FROM pg_stat_wal_receiver");
    return status && *status == "streaming";
}

base::Result<Position> Postgres::held() {
    SB_TRY(const auto text, value("SELECT CASE WHEN pg_is_in_recovery() THEN greatest(pg_last_wal_receive_lsn(), "
                                  "pg_last_wal_replay_lsn(), '0/0') ELSE pg_current_wal_flush_lsn() END"));
    return parse_lsn(text);
}

base::Result<Position> Postgres::stop_receiving() {
    source_ = {};
    SB_CHECK(reload());
    const auto begin = Clock::now();
    for (bool told = false;;) {
        SB_TRY(const auto receiver, value("SELECT coalesce(max(pid), 0) FROM pg_stat_wal_receiver"));
        if (receiver == "0") return held();
        if (!told && Clock::now() - begin > receiver_grace) {
            told = true;
            if (const auto number = base::parse_int(receiver)) ::kill(static_cast<pid_t>(*number), SIGTERM);
        }
        if (Clock::now() - begin > reload_timeout)
            return fail(ErrorKind::Timeout, "{}: still receives after {}", name(),
                        base::format_duration(reload_timeout));
        std::this_thread::sleep_for(poll_pause);
    }
}

base::Status Postgres::reach(const Position& position, base::Duration timeout) {
    const auto deadline = Clock::now() + timeout;
    for (;;) {
        SB_TRY(const auto here, held());
        if (here.covers(position)) return {};
        if (Clock::now() > deadline)
            return fail(ErrorKind::Timeout, "{} has received {}, and not {} within {}", name(), here.text,
                        position.text, base::format_duration(timeout));
        std::this_thread::sleep_for(poll_pause);
    }
}

base::Result<Position> Postgres::take_over() {
    source_ = {};
    SB_CHECK(reload());
    return held();
}

base::Status Postgres::claim() {
    source_ = {};
    alone_ = true;
    SB_CHECK(reload());
    return promote();
}

std::string Postgres::shown_position() const {
    PostgresClient client;
    if (!client.connect(local(), 200ms)) return {};
    const auto text = client.value(
        "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END",
        200ms);
    return text.value_or("");
}

// ---- following again

base::Status Postgres::run(std::vector<std::string> argv, base::Duration timeout) const {
    SpawnOptions options{.argv = std::move(argv), .environment = default_environment()};
    options.directory = setup_.directory;
    options.account = account_;
    const auto result = setup_.reaper.run(std::move(options), "", timeout);
    if (!result) return base::in_context(result.error(), name());
    return {};
}

base::Result<std::string> Postgres::control_value(const std::string& key) const {
    SpawnOptions options{.argv = {programs + "pg_controldata", data()}, .environment = default_environment()};
    SB_TRY(const auto text, setup_.reaper.run(std::move(options), "", 10s));
    for (const auto line : base::split(text, '\n'))
        if (line.starts_with(key + ":")) return std::string(base::trim(line.substr(key.size() + 1)));
    return fail(ErrorKind::CorruptData, "{}: pg_controldata tells no '{}'", name(), key);
}

// A reader's data are a part of the writer's history, since whoever is promoted has all that any reader may have. Those
// of a server that wrote are not.
bool Postgres::must_rejoin() const {
    if (!whole_) return true;
    const auto state = control_value("Database cluster state");
    return !state || (*state != "in archive recovery" && *state != "shut down in recovery");
}

base::Status Postgres::rejoin(Member& writer, const Source& source) {
    auto& other = static_cast<Postgres&>(writer);
    const auto begin = Clock::now();
    const bool rewindable = whole_;
    sweep();
    whole_ = false;
    source_ = source;
    // A promotion leaves the new timeline out of the control file until the next checkpoint, and a rewind reads it
    // there.
    SB_CHECK(other.execute_in("postgres", "CHECKPOINT"));
    const auto rewound = rewindable ? rewind(other) : fail(ErrorKind::Conflict, "its data are not whole");
    if (!rewound) {
        setup_.log.line("{}: is cloned anew, since it can't be rewound: {}", name(), rewound.error().text());
        SB_CHECK(clone(other));
    }
    setup_.log.line("{}: {} to follow {} in {:.0f} ms", name(), rewound ? "rewound" : "cloned", writer.name(),
                    base::to_ms(Clock::now() - begin));
    return {};
}

base::Status Postgres::rewind(const Postgres& writer) {
    return run({programs + "pg_rewind", "--target-pgdata=" + data(), "--config-file=" + configuration(),
                fmt::format("--source-server=host={} port={} user=postgres dbname=postgres", writer.setup_.directory,
                            default_port("postgresql"))},
               rejoin_timeout);
}

base::Status Postgres::clone(const Postgres& writer) {
    std::error_code error;
    std::filesystem::remove_all(data(), error);
    if (error) return fail(ErrorKind::Unavailable, "{}: {}", data(), error.message());
    return run({programs + "pg_basebackup", "--host=" + writer.setup_.directory,
                "--port=" + std::to_string(default_port("postgresql")), "--username=postgres", "--pgdata=" + data(),
                "--wal-method=stream", "--checkpoint=fast", "--no-sync"},
               rejoin_timeout);
}

base::Status Postgres::start_afresh() {
    whole_ = false;
    return {};
}

class PostgresEngine : public Engine {
  public:
    PostgresEngine(const ClusterSpec& spec, std::string directory, Reaper& reaper)
        : spec_(spec), directory_(std::move(directory)), account_(account_or_nobody("postgres")), reaper_(reaper) {}

    std::uint16_t port() const override { return default_port("postgresql"); }

    base::Status make_template() override {
        const SpawnOptions own{.argv = {"chown", account_, directory_}, .environment = default_environment()};
        SB_TRY(const auto owned, reaper_.run(own, "", install_timeout));
        SpawnOptions options{.argv = {programs + "initdb", "--pgdata=" + directory_ + "/template",
                                      "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--auth-local=peer",
                                      "--auth-host=scram-sha-256", "--wal-segsize=4", "--no-sync"},
                             .environment = default_environment()};
        options.directory = directory_;
        options.account = account_;
        const auto result = reaper_.run(std::move(options), "", install_timeout);
        if (!result) return fail(result.error().kind, "can't make a database directory: {}", result.error().text());
        return {};
    }

    std::unique_ptr<Member> make_member(Member::Setup setup, unsigned /*number*/) override {
        return std::make_unique<Postgres>(std::move(setup), spec_, directory_ + "/template", account_);
    }

  private:
    const ClusterSpec& spec_;
    std::string directory_;
    std::string account_;
    Reaper& reaper_;
};

}  // namespace

base::Result<std::unique_ptr<Engine>> make_postgres(const ClusterSpec& spec, const std::string& directory,
                                                    Reaper& reaper) {
    if (::access((programs + "postgres").c_str(), X_OK) != 0)
        return fail(ErrorKind::NotFound, "there is no {}postgres: install Debian's postgresql-15", programs);
    return std::make_unique<PostgresEngine>(spec, directory, reaper);
}

}  // namespace signalbox::lab
