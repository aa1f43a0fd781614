#include "lab/mysql.hpp"

#include <filesystem>
#include <sys/mount.h>
#include <unistd.h>

#include "lab/mysql_family.hpp"

namespace signalbox::lab {

using base::ErrorKind;
using base::fail;
using namespace std::chrono_literals;

namespace {

constexpr auto install_timeout = 120s;

// How a program of the root is called from outside of it.
std::vector<std::string> mysqld_of(const std::string& root) {
    return {root + "/lib64/ld-linux-x86-64.so.2",
            "--library-path",
            root + "/usr/lib/x86_64-linux-gnu:" + root + "/usr/lib/mysql/private",
            root + "/usr/sbin/mysqld",
            "--no-defaults",
            "--basedir=" + root + "/usr",
            "--plugin-dir=" + root + "/usr/lib/mysql/plugin",
            "--lc-messages-dir=" + root + "/usr/share/mysql",
            "--character-sets-dir=" + root + "/usr/share/mysql/charsets",
            "--innodb-redo-log-capacity=32M",
            "--innodb-use-native-aio=0",
            "--mysqlx=0"};
}

class Mysql : public MysqlFamily {
  public:
    Mysql(Setup setup, unsigned server_id, std::string root, const std::string& template_directory,
          const std::string& account)
        : MysqlFamily(std::move(setup), template_directory, account), server_id_(server_id), root_(std::move(root)) {}

    base::Status start(Recovery recovery) override;
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
    std::string take_writes() const override {
        return "SET GLOBAL rpl_semi_sync_replica_enabled=0; SET GLOBAL read_only=0; ";
    }

  private:
    unsigned server_id_;
    std::string root_;
};

// What was logged and never acknowledged is committed by a restart; may_follow finds it.
base::Status Mysql::start(Recovery /*recovery*/) {
    std::error_code ignored;
    std::filesystem::remove(socket(), ignored);
    setup_.log.line("{}: starting", name());
    auto argv = mysqld_of(root_);
    const auto common = common_options(server_id_);
    argv.insert(argv.end(), common.begin(), common.end());
    for (const char* option : {
             "--super-read-only=1",
             "--secure-file-priv=NULL",
             "--gtid-mode=ON",
             "--enforce-gtid-consistency=ON",
             // Cloned anew, it reads what it wrote itself under this server id, too: GTIDs keep it from doing so twice.
             "--replicate-same-server-id=1",
             "--skip-replica-start=1",
             "--replica-net-timeout=3",
             "--binlog-expire-logs-auto-purge=0",
             "--plugin-load-add=auth_socket.so",
             "--plugin-load-add=semisync_source.so",
             "--plugin-load-add=semisync_replica.so",
             "--rpl-semi-sync-replica-enabled=1",
             "--rpl-semi-sync-source-enabled=0",
             "--rpl-semi-sync-source-wait-point=AFTER_SYNC",
             "--rpl-semi-sync-source-timeout=4294967295",
             "--rpl-semi-sync-source-wait-no-replica=1",
         })
        argv.emplace_back(option);
    return spawn(std::move(argv), "");
}

base::Status Mysql::open(bool alone) {
    return execute(
        fmt::format("SET GLOBAL rpl_semi_sync_replica_enabled=0; SET GLOBAL rpl_semi_sync_source_enabled={}; "
                    "SET GLOBAL super_read_only=0; SET GLOBAL read_only=0",
                    alone ? 0 : 1));
}

base::Status Mysql::acknowledge_alone(bool alone) {
    return execute(fmt::format("SET GLOBAL rpl_semi_sync_source_enabled={}", alone ? 0 : 1));
}

// What a reader has, but the engine has not committed yet, is among the owned ones ("…:58#12"). Asked for in this
// order, a transaction that moves from one to the other meanwhile is in the second.
base::Result<Position> Mysql::written() {
    SB_TRY(const std::string owned_text, value("@@GLOBAL.gtid_owned"));
    SB_TRY(const std::string text, value("@@GLOBAL.gtid_executed"));
    SB_TRY(Position position, parse_gtid_set(text));
    std::string owned_set;
    bool in_thread = false;
    for (const char c : owned_text) {
        in_thread = c == '#' || (in_thread && c != ':' && c != ',');
        if (!in_thread) owned_set += c;
    }
    SB_TRY(const Position owned, parse_gtid_set(owned_set));
    for (const auto& [stream, last] : owned.last) {
        auto& held = position.last[stream];
        held = std::max(held, last);
    }
    if (!owned.empty()) position.text += (position.text.empty() ? "" : ",") + owned.text;
    return position;
}

base::Result<Position> Mysql::quiesce(base::Duration timeout) {
    SB_CHECK(execute("SET SESSION lock_wait_timeout=1; SET GLOBAL super_read_only=1", timeout));
    return written();
}

base::Result<bool> Mysql::may_follow(Member& writer) {
    SB_CHECK(execute("STOP REPLICA; SET GLOBAL super_read_only=1; SET GLOBAL rpl_semi_sync_source_enabled=0"));
    SB_TRY(const std::string own, value("@@GLOBAL.gtid_executed"));
    SB_TRY(const Position live, static_cast<Mysql&>(writer).written());
    SB_TRY(const std::string known, value(fmt::format("GTID_SUBSET('{}', '{}')", own, live.text)));
    if (known == "1") return true;
    setup_.log.line("{} holds {}, but the writer {} holds {}", name(), own, writer.name(), live.text);
    return false;
}

base::Status Mysql::follow(const Source& source) {
    return execute(
        fmt::format("STOP REPLICA; CHANGE REPLICATION SOURCE TO SOURCE_HOST='{}', SOURCE_PORT={}, SOURCE_USER='{}', "
                    "SOURCE_PASSWORD='{}', SOURCE_AUTO_POSITION=1, SOURCE_CONNECT_RETRY=1, SOURCE_RETRY_COUNT=1000000, "
                    "SOURCE_HEARTBEAT_PERIOD=0.5, GET_SOURCE_PUBLIC_KEY=1; "
                    "SET GLOBAL rpl_semi_sync_replica_enabled=1; START REPLICA",
                    source.address, source.port, replication_user, setup_.secrets.replication_password));
}

bool Mysql::receiving() {
    const auto status = query("SHOW REPLICA STATUS");
    return status && status->cell("Replica_IO_Running") == "Yes";
}

base::Result<Position> Mysql::stop_receiving() {
    SB_CHECK(execute("STOP REPLICA IO_THREAD"));
    SB_TRY(const auto status, query("SHOW REPLICA STATUS"));
    if (status.cell("Replica_IO_Running") != "No") return fail(ErrorKind::Unavailable, "{}: still receives", name());
    const auto received = status.cell("Retrieved_Gtid_Set").value_or("");
    const auto executed = status.cell("Executed_Gtid_Set").value_or("");
    return parse_gtid_set(received.empty() || executed.empty() ? received + executed : received + "," + executed);
}

base::Status Mysql::reach(const Position& position, base::Duration timeout) {
    SB_TRY(const auto done, query(fmt::format("SELECT WAIT_FOR_EXECUTED_GTID_SET('{}', {:.3f}) AS v", position.text,
                                              base::to_ms(timeout) / 1000),
                                  timeout + 2s));
    if (done.cell("v") != "0")
        return fail(ErrorKind::Timeout, "{} has not applied {} within {}", name(), position.text,
                    base::format_duration(timeout));
    return {};
}

base::Result<Position> Mysql::take_over() {
    SB_CHECK(execute("STOP REPLICA; RESET REPLICA ALL; SET GLOBAL rpl_semi_sync_replica_enabled=0"));
    return written();
}

base::Status Mysql::claim() {
    return execute(
        "STOP REPLICA; RESET REPLICA ALL; SET GLOBAL rpl_semi_sync_replica_enabled=0; SET GLOBAL super_read_only=0; "
        "SET GLOBAL read_only=0");
}

std::string Mysql::shown_position() const {
    mysql::Client client;
    if (client.connect(local(), 200ms))
        if (const auto row = client.query("SELECT REPLACE(@@GLOBAL.gtid_executed, '\\n', '') AS v", 200ms))
            return row->cell("v").value_or("");
    return {};
}

class MysqlEngine : public Engine {
  public:
    MysqlEngine(const ClusterSpec& spec, std::string directory, Reaper& reaper)
        : spec_(spec),
          directory_(std::move(directory)),
          root_(directory_ + "/root"),
          account_(account_or_nobody("mysql")),
          reaper_(reaper) {}

    std::uint16_t port() const override { return default_port("mysql"); }

    base::Status make_template() override {
        const std::string data = directory_ + "/template";
        // At a place that the server's user may reach, wherever the root lies; in the lab's own mount namespace alone.
        std::error_code error;
        std::filesystem::create_directories(root_, error);
        if (error || ::mount(spec_.server.c_str(), root_.c_str(), nullptr, MS_BIND, nullptr) != 0)
            return errno_error("can't mount " + spec_.server);
        // As MariaDB's: whoever is root on the machine is root in the server, by the socket, and nobody else is.
        SB_CHECK(write_file(directory_ + "/init.sql",
                            "INSTALL PLUGIN auth_socket SONAME 'auth_socket.so';\n"
                            "ALTER USER 'root'@'localhost' IDENTIFIED WITH auth_socket;\n"));
        SpawnOptions options{.argv = mysqld_of(root_), .environment = default_environment()};
        for (const auto& option : {"--user=" + account_, "--datadir=" + data, std::string("--initialize-insecure"),
                                   "--init-file=" + directory_ + "/init.sql", std::string("--skip-log-bin")})
            options.argv.push_back(option);
        const SpawnOptions own{.argv = {"chown", account_, directory_}, .environment = default_environment()};
        SB_TRY(const auto owned, reaper_.run(own, "", install_timeout));
        const auto made = reaper_.run(std::move(options), "", install_timeout);
        if (!made) return fail(made.error().kind, "can't make a database directory: {}", made.error().text());
        // Each server makes its own identity at its first start.
        std::filesystem::remove(data + "/auto.cnf", error);
        return {};
    }

    std::unique_ptr<Member> make_member(Member::Setup setup, unsigned number) override {
        return std::make_unique<Mysql>(std::move(setup), number, root_, directory_ + "/template", account_);
    }

  private:
    const ClusterSpec& spec_;
    std::string directory_;
    std::string root_;
    std::string account_;
    Reaper& reaper_;
};

}  // namespace

base::Result<std::unique_ptr<Engine>> make_mysql(const ClusterSpec& spec, const std::string& directory,
                                                 Reaper& reaper) {
    if (::access((spec.server + "/usr/sbin/mysqld").c_str(), X_OK) != 0)
        return fail(ErrorKind::NotFound, "cluster '{}': there is no {}/usr/sbin/mysqld: make it with tools/mysql-root",
                    spec.name, spec.server);
    return std::make_unique<MysqlEngine>(spec, directory, reaper);
}

}  // namespace signalbox::lab
