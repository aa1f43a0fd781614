#include "app/cmd_serve.hpp"

#include <csignal>
#include <cstring>
#include <filesystem>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "adapters/http/server.hpp"
#include "adapters/sqlite/channel_store.hpp"
#include "adapters/sqlite/journal.hpp"
#include "app/config.hpp"
#include "app/report.hpp"
#include "app/serve_channels.hpp"
#include "app/serve_follower.hpp"
#include "app/serve_jobs.hpp"
#include "app/serve_journal.hpp"
#include "app/serve_outputs.hpp"
#include "app/serve_source.hpp"
#include "app/serve_tables.hpp"
#include "app/serve_token.hpp"

namespace signalbox::app {
namespace {

struct ServeOptions {
    std::string config_file = "signalbox.yaml";
    std::string log_level = "info";
};

base::WallTime wall_now() { return std::chrono::time_point_cast<base::Duration>(std::chrono::system_clock::now()); }

// The signals that the daemon waits for; blocked before the first thread starts, so that only the wait takes them.
sigset_t block_signals() {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, number);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    return signals;
}

// Two descriptors for a session: as many as we are allowed to have.
void raise_file_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

// sd_notify(3): one datagram to the service manager, if there is one.
void notify_manager(const std::string& state) {
    const char* path = std::getenv("NOTIFY_SOCKET");
    sockaddr_un address{};
    if (path == nullptr || std::strlen(path) >= sizeof address.sun_path) return;
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path);
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path));
    if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
    const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    ::sendto(fd, state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address), size);
    ::close(fd);
}

http::Response answer(const api::Api& api, const http::Request& request) {
    auto response = api.answer({request.method, request.path, request.query, request.authorization, request.body});
    return {response.status, std::move(response.content_type), std::move(response.body)};
}

class Daemon {
  public:
    explicit Daemon(Config config) : config_(std::move(config)), signals_(block_signals()) {}

    base::Status run();

  private:
    base::Status open();
    void say_ready() const;
    void wait_for_end();
    void reload();
    void record(const std::string& kind, base::json::object data);

    Config config_;
    const sigset_t signals_;
    const base::WallTime started_at_ = wall_now();
    // Each uses the ones before it, and so goes before them, however run() ends.
    std::optional<StoreLock> lock_;
    std::unique_ptr<sqlite::JournalStore> store_;
    std::unique_ptr<sqlite::JournalStore> reader_;  // the API's own: a long read must not hold the engine up
    std::unique_ptr<LoggedJournal> journal_;
    std::unique_ptr<sqlite::ChannelStore> channel_store_;
    std::unique_ptr<Channels> channels_;
    std::unique_ptr<Follower> follower_;
    std::unique_ptr<RunDriver> runs_;   // null without a provider
    std::unique_ptr<Outputs> outputs_;  // null without a catalog, and so is the next
    std::unique_ptr<TableWatcher> tables_;
    std::unique_ptr<DaemonSource> source_;
    std::unique_ptr<api::Api> api_;
    std::unique_ptr<http::Server> server_;
};

base::Status Daemon::open() {
    SB_TRY(StoreLock lock, StoreLock::take(config_.store));
    lock_.emplace(std::move(lock));
    SB_TRY(auto database, sqlite::Database::open(config_.store));
    SB_TRY(channel_store_, sqlite::ChannelStore::open(database));
    SB_TRY(store_, sqlite::JournalStore::open(std::move(database)));
    SB_TRY(auto reading, sqlite::Database::open(config_.store));
    SB_TRY(reader_, sqlite::JournalStore::open(std::move(reading)));
    SB_TRY(std::string token, load_or_make_token(config_.api.token_file));
    raise_file_limit();
    journal_ = std::make_unique<LoggedJournal>(*store_, *store_);
    channels_ = std::make_unique<Channels>(*journal_, *channel_store_);
    follower_ = std::make_unique<Follower>(
        config_.shards, std::filesystem::absolute(config_.store).lexically_normal().string(), *journal_, *journal_);
    follower_->on_step([this](const engine::ClusterLoop& loop) { channels_->on_loop(loop); });
    source_ = std::make_unique<DaemonSource>(*follower_, *channels_, *reader_, started_at_);
    api_ = std::make_unique<api::Api>(*source_, std::move(token));
    http::ServerOptions options;
    options.listen = config_.api.listen;
    // It takes questions only, and whoever has no token yet must not cost much.
    options.body_max_bytes = 16 << 10;
    options.idle_timeout = std::chrono::seconds(10);
    SB_TRY(server_,
           http::Server::start(options, [this](const http::Request& request) { return answer(*api_, request); }));
    return {};
}

base::Status Daemon::run() {
    SB_CHECK(open());
    channels_->apply(config_.channels, config_.clusters);
    const auto errors = follower_->apply(config_.clusters, config_.endpoints);
    // With none of them there is nothing to serve; with some, the others go on trying.
    if (!errors.empty() && errors.size() == config_.endpoints.size())
        return tl::unexpected<base::Error>(errors.front());
    for (const auto& error : errors) spdlog::error("{}; trying again each second", error.text());
    record("daemon-start", {{"version", SIGNALBOX_VERSION}, {"pid", ::getpid()}, {"config", config_.file}});
    SB_TRY(runs_, RunDriver::start(config_));
    source_->set_runs(runs_.get());
    // First, so that a new sink gets all that this daemon reports.
    if (!config_.catalogs.empty()) {
        SB_TRY(outputs_, Outputs::start(config_));
    }
    SB_TRY(tables_, TableWatcher::start(config_));
    source_->set_tables(tables_.get(), outputs_.get());
    say_ready();
    wait_for_end();
    notify_manager("STOPPING=1");
    server_.reset();
    tables_.reset();
    outputs_.reset();
    runs_.reset();
    follower_.reset();
    channels_.reset();
    record("daemon-stop", {{"pid", ::getpid()}});
    return {};
}

void Daemon::record(const std::string& kind, base::json::object data) {
    ports::JournalEntry entry;
    entry.at = wall_now();
    entry.kind = kind;
    entry.subject = "daemon";
    entry.data = std::move(data);
    // The log says it if this fails; serving does not depend on it.
    [[maybe_unused]] const auto sequence = journal_->append(entry, ports::Durability::Relaxed);
}

void Daemon::say_ready() const {
    std::string line = "ready:";
    for (const auto& endpoint : follower_->endpoints()) {
        line += fmt::format(" endpoint {} on {},", endpoint.stats.endpoint, endpoint.stats.address);
    }
    print(fmt::format("{} API on {}, its token in {}\n", line, server_->address(), config_.api.token_file));
    notify_manager("READY=1");
}

void Daemon::wait_for_end() {
    constexpr timespec retry_interval{1, 0};
    for (;;) {
        const int number = sigtimedwait(&signals_, nullptr, &retry_interval);
        if (number == SIGTERM || number == SIGINT) {
            spdlog::info("ending on signal {}", number);
            return;
        }
        if (number == SIGHUP) reload();
        const auto before = follower_->unopened();
        if (before.empty()) continue;
        const auto still = follower_->retry();
        if (still.size() < before.size()) spdlog::info("{} endpoints opened", before.size() - still.size());
    }
}

void Daemon::reload() {
    auto fresh = load_config(config_.file);
    source_->count_reload(fresh.has_value());
    if (!fresh) {
        spdlog::error("reload refused, the former configuration stays: {}", fresh.error().text());
        return;
    }
    if (fresh->store != config_.store || fresh->api.listen != config_.api.listen ||
        fresh->api.token_file != config_.api.token_file || fresh->shards != config_.shards) {
        spdlog::warn("store, api and shards change at a restart only: they stay as they were");
        fresh->store = config_.store;
        fresh->api = config_.api;
        fresh->shards = config_.shards;
    }
    config_ = std::move(*fresh);
    channels_->apply(config_.channels, config_.clusters);
    if (runs_) runs_->configure(config_);
    if (tables_) tables_->configure(config_);
    if (outputs_) outputs_->configure(config_);
    for (const auto& error : follower_->apply(config_.clusters, config_.endpoints)) {
        spdlog::error("{}; trying again each second", error.text());
    }
    record("daemon-reload", {{"clusters", config_.clusters.size()}, {"endpoints", config_.endpoints.size()}});
}

int serve(const ServeOptions& options) {
    auto logger = spdlog::stderr_logger_mt("signalbox");
    logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
    logger->set_level(spdlog::level::from_str(options.log_level));
    spdlog::set_default_logger(std::move(logger));
    auto config = load_config(options.config_file);
    if (!config) return report(config.error());
    const auto status = Daemon(std::move(*config)).run();
    return status ? 0 : report(status.error());
}

}  // namespace

void register_serve(CLI::App& app, int& exit_status) {
    auto options = std::make_shared<ServeOptions>();
    auto* command = app.add_subcommand("serve", "Follow clusters, drive runs and watch tables, in the foreground");
    command->footer("Signals: TERM and INT end it, HUP reads the configuration again.");
    command->add_option("-c,--config", options->config_file, "Configuration file")->capture_default_str();
    command->add_option("--log-level", options->log_level, "How much is said on standard error")
        ->check(CLI::IsMember({"debug", "info", "warning", "error", "off"}))
        ->capture_default_str();
    command->callback([options, &exit_status] { exit_status = serve(*options); });
}

}  // namespace signalbox::app
