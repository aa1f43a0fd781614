#include "lab/mariadb.hpp"

#include <filesystem>

#include "lab/gtid.hpp"
#include "lab/mysql_family.hpp"

namespace signalbox::lab {

using base::ErrorKind;
using base::fail;
using namespace std::chrono_literals;

namespace {

constexpr auto install_timeout = 120s;

// The same for the template and the servers: a log file of another size would be made anew at the first start.
const std::vector<std::string> engine_options = {"--innodb-log-file-size=32M", "--innodb-flush-method=fsync",
                                                 "--innodb-use-native-aio=0"};

class Mariadb : public MysqlFamily {
  public:
    Mariadb(Setup setup, unsigned server_id, const std::string& template_directory, const std::string& account)
        : MysqlFamily(std::move(setup), template_directory, account), server_id_(server_id) {}

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
        return "SET GLOBAL rpl_semi_sync_slave_enabled=0; SET GLOBAL read_only=0; ";
    }

  private:
    std::vector<std::string> command(Recovery recovery) const;

    unsigned server_id_;
};

std::vector<std::string> Mariadb::command(Recovery recovery) const {
    std::vector<std::string> argv = {"mariadbd", "--no-defaults"};
    const auto common = common_options(server_id_);
    argv.insert(argv.end(), common.begin(), common.end());
    for (const char* option : {
             "--log-slave-updates",
             "--binlog-format=ROW",
             "--gtid-strict-mode=1",
             "--skip-slave-start",
             "--slave-net-timeout=3",
             "--rpl-semi-sync-slave-enabled=1",
             "--rpl-semi-sync-master-enabled=0",
             "--rpl-semi-sync-master-wait-point=AFTER_SYNC",
             "--rpl-semi-sync-master-timeout=18446744073709551615",
             "--rpl-semi-sync-master-wait-no-slave=1",
             "--aria-pagecache-buffer-size=2M",
             "--performance-schema=0",
         })
        argv.emplace_back(option);
    argv.insert(argv.end(), engine_options.begin(), engine_options.end());
    // Transactions that the binary log holds but the engine had not committed are rolled back, since no reader
    // acknowledged them.
    if (recovery == Recovery::AsReader) argv.push_back("--init-rpl-role=SLAVE");
    return argv;
}

base::Status Mariadb::start(Recovery recovery) {
    std::error_code ignored;
    std::filesystem::remove(socket(), ignored);
    setup_.log.line("{}: starting, recovering as a {}", name(), recovery == Recovery::AsWriter ? "writer" : "reader");
    return spawn(command(recovery), "");
}

base::Status Mariadb::open(bool alone) {
    return execute(
        fmt::format("SET GLOBAL rpl_semi_sync_slave_enabled=0; SET GLOBAL rpl_semi_sync_master_enabled={}; "
                    "SET GLOBAL read_only=0",
                    alone ? 0 : 1));
}

base::Status Mariadb::acknowledge_alone(bool alone) {
    return execute(fmt::format("SET GLOBAL rpl_semi_sync_master_enabled={}", alone ? 0 : 1));
}

base::Result<Position> Mariadb::written() {
    SB_TRY(const std::string text, value("@@GLOBAL.gtid_binlog_pos"));
    return parse_gtid_position(text);
}

base::Result<Position> Mariadb::quiesce(base::Duration timeout) {
    SB_CHECK(execute("SET SESSION lock_wait_timeout=1; SET GLOBAL read_only=1", timeout));
    return written();
}

// Compared per domain and server: two histories that parted can have equal positions.
base::Result<bool> Mariadb::may_follow(Member& writer) {
    SB_CHECK(execute("STOP SLAVE; SET GLOBAL read_only=1; SET GLOBAL rpl_semi_sync_master_enabled=0"));
    SB_TRY(const std::string own_text, value("@@GLOBAL.gtid_binlog_state"));
    SB_TRY(const std::string live_text, static_cast<Mariadb&>(writer).value("@@GLOBAL.gtid_binlog_state"));
    SB_TRY(const GtidState own, GtidState::parse(own_text));
    SB_TRY(const GtidState live, GtidState::parse(live_text));
    if (!live.contains(own)) {
        setup_.log.line("{} holds {}, but the writer {} holds {}", name(), own_text, writer.name(), live_text);
        return false;
    }
    SB_TRY(const std::string position, value("@@GLOBAL.gtid_binlog_pos"));
    // A former writer has applied nothing as a reader: its own log is the truth.
    if (!position.empty()) SB_CHECK(execute("SET GLOBAL gtid_slave_pos=@@GLOBAL.gtid_binlog_pos"));
    return true;
}

base::Status Mariadb::follow(const Source& source) {
    return execute(fmt::format(
        "STOP SLAVE; CHANGE MASTER TO MASTER_HOST='{}', MASTER_PORT={}, MASTER_USER='{}', MASTER_PASSWORD='{}', "
        "MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1, MASTER_HEARTBEAT_PERIOD=0.5; "
        "SET GLOBAL rpl_semi_sync_slave_enabled=1; START SLAVE",
        source.address, source.port, replication_user, setup_.secrets.replication_password));
}

bool Mariadb::receiving() {
    const auto status = query("SHOW SLAVE STATUS");
    return status && status->cell("Slave_IO_Running") == "Yes";
}

base::Result<Position> Mariadb::stop_receiving() {
    SB_CHECK(execute("STOP SLAVE IO_THREAD"));
    SB_TRY(const auto status, query("SHOW SLAVE STATUS"));
    if (status.cell("Slave_IO_Running") != "No") return fail(ErrorKind::Unavailable, "{}: still receives", name());
    return parse_gtid_position(status.cell("Gtid_IO_Pos").value_or(""));
}

base::Status Mariadb::reach(const Position& position, base::Duration timeout) {
    const double seconds = base::to_ms(timeout) / 1000;
    SB_TRY(const auto done,
           query(fmt::format("SELECT MASTER_GTID_WAIT('{}', {:.3f}) AS v", position.text, seconds), timeout + 2s));
    if (done.cell("v") != "0")
        return fail(ErrorKind::Timeout, "{} has not applied {} within {}", name(), position.text,
                    base::format_duration(timeout));
    return {};
}

base::Result<Position> Mariadb::take_over() {
    SB_CHECK(execute("STOP SLAVE; RESET SLAVE ALL; SET GLOBAL rpl_semi_sync_slave_enabled=0"));
    return written();
}

base::Status Mariadb::claim() {
    return execute("STOP SLAVE; RESET SLAVE ALL; SET GLOBAL rpl_semi_sync_slave_enabled=0; SET GLOBAL read_only=0");
}

std::string Mariadb::shown_position() const {
    mysql::Client client;
    if (client.connect(local(), 200ms))
        if (const auto row = client.query("SELECT @@GLOBAL.gtid_binlog_pos AS v", 200ms))
            return row->cell("v").value_or("");
    return {};
}

class MariadbEngine : public Engine {
  public:
    MariadbEngine(const std::string& directory, Reaper& reaper)
        : template_(directory + "/template"), account_(account_or_nobody("mysql")), reaper_(reaper) {}

    std::uint16_t port() const override { return default_port("mariadb"); }

    base::Status make_template() override {
        SpawnOptions options;
        options.environment = default_environment();
        options.argv = {"mariadb-install-db",     "--no-defaults",  "--user=" + account_,
                        "--datadir=" + template_, "--skip-test-db", "--auth-root-authentication-method=socket"};
        options.argv.insert(options.argv.end(), engine_options.begin(), engine_options.end());
        std::error_code error;
        std::filesystem::create_directories(template_, error);
        if (error) return fail(ErrorKind::Unavailable, "{}: {}", template_, error.message());
        const auto result = reaper_.run(std::move(options), "", install_timeout);
        if (!result) return fail(result.error().kind, "can't make a database directory: {}", result.error().text());
        return {};
    }

    std::unique_ptr<Member> make_member(Member::Setup setup, unsigned number) override {
        return std::make_unique<Mariadb>(std::move(setup), number, template_, account_);
    }

  private:
    std::string template_;
    std::string account_;
    Reaper& reaper_;
};

}  // namespace

base::Result<std::unique_ptr<Engine>> make_mariadb(const std::string& directory, Reaper& reaper) {
    return std::make_unique<MariadbEngine>(directory, reaper);
}

}  // namespace signalbox::lab
