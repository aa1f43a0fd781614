#include "lab/mysql_family.hpp"

#include <unistd.h>

namespace signalbox::lab {

using base::ErrorKind;
using base::fail;
using namespace std::chrono_literals;

namespace {

class MysqlPulse : public Pulse {
  public:
    explicit MysqlPulse(mysql::ConnectParams params) : params_(std::move(params)) {}
    bool ask(base::Duration timeout) override {
        return client_.connected() && client_.query("SELECT 1", timeout).has_value();
    }
    bool connect(base::Duration timeout) override { return client_.connect(params_, timeout).has_value(); }
    void close() override { client_.close(); }

  private:
    mysql::ConnectParams params_;
    mysql::Client client_;
};

}  // namespace

MysqlFamily::MysqlFamily(Setup setup, std::string template_directory, std::string account)
    : Member(std::move(setup)), account_(std::move(account)), template_(std::move(template_directory)) {}

base::Status MysqlFamily::make_data() { return copy_template(template_, setup_.directory + "/db", account_); }

std::vector<std::string> MysqlFamily::common_options(unsigned server_id) const {
    const auto& directory = setup_.directory;
    return {
        "--user=" + account_,
        "--datadir=" + directory + "/db",
        "--socket=" + socket(),
        "--pid-file=" + directory + "/server.pid",
        "--port=" + std::to_string(default_port("mariadb")),
        "--bind-address=0.0.0.0",
        "--ssl-ca=" + directory + "/ca.pem",
        "--ssl-cert=" + directory + "/server.pem",
        "--ssl-key=" + directory + "/server.key",
        "--server-id=" + std::to_string(server_id),
        "--report-host=" + name(),
        "--log-bin=binlog",
        "--relay-log=relay",
        "--sync-binlog=1",
        "--innodb-flush-log-at-trx-commit=1",
        "--read-only=1",
        "--skip-name-resolve",
        "--innodb-buffer-pool-size=32M",
        "--innodb-buffer-pool-load-at-startup=0",
        "--innodb-buffer-pool-dump-at-shutdown=0",
        "--key-buffer-size=1M",
        "--max-connections=600",
        "--max-connect-errors=4294967295",
        "--table-open-cache=400",
        "--thread-cache-size=32",
        "--character-set-server=utf8mb4",
    };
}

mysql::ConnectParams MysqlFamily::local() const {
    return {.host = {},
            .port = 0,
            .unix_socket = socket(),
            .user = "root",
            .password = {},
            .database = {},
            .tls_ca_file = {}};
}

bool MysqlFamily::ready() {
    if (!alive() || paused()) return false;
    if (client_.connected()) return true;
    if (::access(socket().c_str(), F_OK) != 0) return false;
    return client_.connect(local(), 500ms).has_value();
}

base::Result<mysql::ResultSet> MysqlFamily::query(const std::string& sql, base::Duration timeout) {
    if (!ready()) return fail(ErrorKind::Unavailable, "{}: takes no connection on {}", name(), socket());
    auto result = client_.query(sql, timeout);
    if (!result) return base::in_context(result.error(), name());
    return result;
}

base::Status MysqlFamily::execute(const std::string& statements, base::Duration timeout) {
    if (!ready()) return fail(ErrorKind::Unavailable, "{}: takes no connection on {}", name(), socket());
    const auto result = client_.query_all(statements, timeout);
    if (!result) return base::in_context(result.error(), name());
    return {};
}

base::Result<std::string> MysqlFamily::value(const std::string& expression) {
    SB_TRY(const auto result, query("SELECT " + expression + " AS v"));
    const auto cell = result.cell("v");
    if (!cell) return fail(ErrorKind::Unavailable, "{}: {} is NULL", name(), expression);
    return *cell;
}

base::Status MysqlFamily::create_accounts(const ClusterSpec& spec) {
    std::string sql = take_writes();
    for (const auto& database : spec.databases) sql += fmt::format("CREATE DATABASE `{}`; ", database);
    sql += fmt::format("CREATE USER '{0}'@'%' IDENTIFIED BY '{1}'; GRANT REPLICATION SLAVE ON *.* TO '{0}'@'%'; ",
                       replication_user, setup_.secrets.replication_password);
    sql += fmt::format("CREATE USER '{}'@'%' IDENTIFIED BY '{}'; ", health_user, setup_.secrets.health_password);
    SB_CHECK(execute(sql, 20s));
    for (const auto& user : spec.users) {
        SB_CHECK(execute(fmt::format("CREATE USER '{}'@'%' IDENTIFIED BY '{}'", user.name, user.password)));
        for (const auto& grant : user.grants)
            if (const auto status = execute(fmt::format("GRANT {} TO '{}'@'%'", grant, user.name)); !status)
                return base::in_context(
                    status.error(), fmt::format("cluster '{}', user '{}', grant '{}'", spec.name, user.name, grant));
    }
    return {};
}

std::unique_ptr<Pulse> MysqlFamily::make_pulse() const {
    return std::make_unique<MysqlPulse>(mysql::ConnectParams{.host = address(),
                                                             .port = default_port("mariadb"),
                                                             .unix_socket = {},
                                                             .user = std::string(health_user),
                                                             .password = setup_.secrets.health_password,
                                                             .database = {},
                                                             .tls_ca_file = {}});
}

}  // namespace signalbox::lab
