#include "lab/member.hpp"

#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <pwd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/text.hpp"

namespace signalbox::lab {

using base::ErrorKind;
using base::fail;
using namespace std::chrono_literals;

namespace {

constexpr auto install_timeout = 120s;
constexpr auto kill_timeout = 20s;

// The same for the template and the servers: a log file of another size would be made anew at the first start.
const std::vector<std::string> engine_options = {"--innodb-log-file-size=32M", "--innodb-flush-method=fsync",
                                                 "--innodb-use-native-aio=0"};

base::Status chown_tree(Reaper& reaper, const std::string& directory, const std::string& account) {
    SpawnOptions options{.argv = {"chown", "-R", account, directory}, .environment = default_environment()};
    const auto result = reaper.run(std::move(options), "", install_timeout);
    if (!result) return tl::unexpected<base::Error>(result.error());
    return {};
}

}  // namespace

std::string server_account() { return ::getpwnam("mysql") ? "mysql" : "nobody"; }

base::Status make_template(Reaper& reaper, const ServerFiles& files) {
    std::error_code error;
    std::filesystem::create_directories(files.template_directory, error);
    if (error) return fail(ErrorKind::Unavailable, "{}: {}", files.template_directory, error.message());
    SpawnOptions options;
    options.environment = default_environment();
    options.argv = {"mariadb-install-db",      "--no-defaults",
                    "--user=" + files.account, "--datadir=" + files.template_directory,
                    "--skip-test-db",          "--auth-root-authentication-method=socket"};
    options.argv.insert(options.argv.end(), engine_options.begin(), engine_options.end());
    const auto result = reaper.run(std::move(options), "", install_timeout);
    if (!result) return fail(result.error().kind, "can't make a database directory: {}", result.error().text());
    return chown_tree(reaper, files.template_directory, files.account);
}

Health::Health(std::string address, std::string password, base::Duration detect)
    : address_(std::move(address)),
      password_(std::move(password)),
      interval_(detect / misses_max),
      thread_([this] { loop(); }) {}

Health::~Health() {
    stopping_ = true;
    thread_.join();
}

void Health::loop() {
    mysql::Client client;
    const mysql::ConnectParams params{.host = address_,
                                      .port = mariadb_port,
                                      .unix_socket = {},
                                      .user = std::string(health_user),
                                      .password = password_,
                                      .database = {},
                                      .tls_ca_file = {}};
    auto due = Clock::now();
    while (!stopping_) {
        std::this_thread::sleep_until(due);
        const auto begin = Clock::now();
        const bool late = begin - due > interval_ / 2;
        bool good = client.connected() && client.query("SELECT 1", interval_).has_value();
        // A connection that was cut says little: the server may have restarted. The next one decides.
        if (!good && Clock::now() - begin < interval_ / 2) {
            client.close();
            good = client.connect(params, interval_).has_value();
        }
        // Who gets no processor time can't tell whose lateness it was.
        const bool overslept = Clock::now() - begin > interval_ * 2;
        if (good)
            misses_ = 0;
        else if (!late && !overslept)
            ++misses_;
        due = std::max(begin + interval_, Clock::now() + 1ms);
    }
}

Member::Member(const HostSpec& spec, unsigned server_id, ServerFiles files, NodeInfo node, Reaper& reaper, Log& log,
               std::function<void()> changed)
    : spec_(spec),
      server_id_(server_id),
      files_(std::move(files)),
      node_(std::move(node)),
      reaper_(reaper),
      log_(log),
      changed_(std::move(changed)),
      directory_(files_.directory + "/" + spec.name) {}

base::Status Member::make_data() {
    std::error_code error;
    std::filesystem::create_directories(directory_, error);
    std::filesystem::remove_all(directory_ + "/db", error);
    if (error) return fail(ErrorKind::Unavailable, "{}: {}", directory_, error.message());
    SpawnOptions options{.argv = {"cp", "-a", files_.template_directory, directory_ + "/db"},
                         .environment = default_environment()};
    const auto copied = reaper_.run(std::move(options), "", install_timeout);
    if (!copied) return base::in_context(copied.error(), spec_.name);
    return chown_tree(reaper_, directory_, files_.account);
}

std::vector<std::string> Member::command(Recovery recovery) const {
    std::vector<std::string> argv = {
        "mariadbd",
        "--no-defaults",
        "--user=" + files_.account,
        "--datadir=" + directory_ + "/db",
        "--socket=" + socket(),
        "--pid-file=" + directory_ + "/server.pid",
        "--port=" + std::to_string(mariadb_port),
        "--bind-address=0.0.0.0",
        "--server-id=" + std::to_string(server_id_),
        "--report-host=" + spec_.name,
        "--log-bin=binlog",
        "--relay-log=relay",
        "--log-slave-updates",
        "--gtid-strict-mode=1",
        "--binlog-format=ROW",
        "--sync-binlog=1",
        "--innodb-flush-log-at-trx-commit=1",
        "--read-only=1",
        "--skip-slave-start",
        "--skip-name-resolve",
        "--slave-net-timeout=3",
        "--rpl-semi-sync-slave-enabled=1",
        "--rpl-semi-sync-master-enabled=0",
        "--rpl-semi-sync-master-wait-point=AFTER_SYNC",
        "--rpl-semi-sync-master-timeout=18446744073709551615",
        "--rpl-semi-sync-master-wait-no-slave=1",
        "--innodb-buffer-pool-size=32M",
        "--innodb-buffer-pool-load-at-startup=0",
        "--innodb-buffer-pool-dump-at-shutdown=0",
        "--aria-pagecache-buffer-size=2M",
        "--key-buffer-size=1M",
        "--performance-schema=0",
        "--max-connections=600",
        "--max-connect-errors=4294967295",
        "--table-open-cache=400",
        "--thread-cache-size=32",
        "--character-set-server=utf8mb4",
    };
    argv.insert(argv.end(), engine_options.begin(), engine_options.end());
    if (recovery == Recovery::AsReader) argv.push_back("--init-rpl-role=SLAVE");
    return argv;
}

base::Status Member::start(Recovery recovery) {
    client_.close();
    std::error_code ignored;
    std::filesystem::remove(socket(), ignored);
    const Fd out(::open(error_log().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
    if (!out) return errno_error(error_log());
    auto state = std::make_shared<State>();
    state->alive = true;
    state_ = state;
    SpawnOptions options{.argv = command(recovery), .environment = default_environment()};
    options.directory = directory_;
    options.netns = node_.netns;
    options.out = options.error = out.get();
    log_.line("{}: starting, recovering as a {}", spec_.name, recovery == Recovery::AsWriter ? "writer" : "reader");
    const auto pid = reaper_.spawn(options, [state, changed = changed_](Exit exit) {
        {
            const std::lock_guard lock(state->mutex);
            state->exit = exit;
            state->alive = false;
        }
        state->changed.notify_all();
        changed();
    });
    if (!pid) {
        state->alive = false;
        return base::in_context(pid.error(), spec_.name);
    }
    pid_ = *pid;
    paused_ = false;
    return {};
}

bool Member::ready() {
    if (!alive() || paused_) return false;
    if (client_.connected()) return true;
    if (::access(socket().c_str(), F_OK) != 0) return false;
    const mysql::ConnectParams params{.host = {},
                                      .port = 0,
                                      .unix_socket = socket(),
                                      .user = "root",
                                      .password = {},
                                      .database = {},
                                      .tls_ca_file = {}};
    return client_.connect(params, 500ms).has_value();
}

base::Status Member::kill() {
    client_.close();
    if (alive()) ::kill(-pid_, SIGKILL);
    std::unique_lock lock(state_->mutex);
    if (!state_->changed.wait_for(lock, kill_timeout, [&] { return !state_->alive; }))
        return fail(ErrorKind::Timeout, "{}: its process {} did not end within {} after SIGKILL", spec_.name, pid_,
                    base::format_duration(kill_timeout));
    paused_ = false;
    return {};
}

base::Status Member::pause() {
    if (!alive()) return fail(ErrorKind::Conflict, "{} does not run", spec_.name);
    if (::kill(-pid_, SIGSTOP) != 0) return errno_error(spec_.name);
    paused_ = true;
    return {};
}

base::Status Member::resume() {
    if (!alive()) return fail(ErrorKind::Conflict, "{} does not run", spec_.name);
    if (::kill(-pid_, SIGCONT) != 0) return errno_error(spec_.name);
    paused_ = false;
    return {};
}

std::string Member::exit_text() const {
    const std::lock_guard lock(state_->mutex);
    return state_->exit.text();
}

base::Result<mysql::ResultSet> Member::query(const std::string& sql, base::Duration timeout) {
    if (!ready()) return fail(ErrorKind::Unavailable, "{}: takes no connection on {}", spec_.name, socket());
    auto result = client_.query(sql, timeout);
    if (!result) return base::in_context(result.error(), spec_.name);
    return result;
}

base::Status Member::execute(const std::string& statements, base::Duration timeout) {
    if (!ready()) return fail(ErrorKind::Unavailable, "{}: takes no connection on {}", spec_.name, socket());
    const auto result = client_.query_all(statements, timeout);
    if (!result) return base::in_context(result.error(), spec_.name);
    return {};
}

base::Result<std::string> Member::value(const std::string& expression) {
    SB_TRY(const auto result, query("SELECT " + expression + " AS v"));
    const auto cell = result.cell("v");
    if (!cell) return fail(ErrorKind::Unavailable, "{}: {} is NULL", spec_.name, expression);
    return *cell;
}

}  // namespace signalbox::lab
