#include "lab/member.hpp"

#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <pwd.h>

#include "lab/mariadb.hpp"
#include "lab/mysql.hpp"
#include "lab/postgres.hpp"

namespace signalbox::lab {

using base::ErrorKind;
using base::fail;
using namespace std::chrono_literals;

namespace {
constexpr auto kill_timeout = 20s;
constexpr auto copy_timeout = 120s;
}  // namespace

std::string account_or_nobody(const std::string& name) { return ::getpwnam(name.c_str()) ? name : "nobody"; }

std::uint16_t default_port(const std::string& engine) { return engine == "postgresql" ? 5432 : 3306; }

base::Result<std::unique_ptr<Engine>> make_engine(const ClusterSpec& spec, const std::string& directory,
                                                  Reaper& reaper) {
    std::error_code error;
    std::filesystem::create_directories(directory, error);
    if (error) return fail(ErrorKind::Unavailable, "{}: {}", directory, error.message());
    if (spec.engine == "postgresql") return make_postgres(spec, directory, reaper);
    if (spec.engine == "mysql") return make_mysql(spec, directory, reaper);
    return make_mariadb(directory, reaper);
}

Member::Member(Setup setup) : setup_(std::move(setup)) {}

base::Status Member::spawn(std::vector<std::string> argv, const std::string& account) {
    disconnect();
    const Fd out(::open(error_log().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
    if (!out) return errno_error(error_log());
    auto state = std::make_shared<State>();
    state->alive = true;
    state_ = state;
    SpawnOptions options{.argv = std::move(argv), .environment = default_environment()};
    options.directory = setup_.directory;
    options.netns = setup_.node.netns;
    options.out = options.error = out.get();
    options.account = account;
    const auto pid = setup_.reaper.spawn(options, [state, changed = setup_.changed](Exit exit) {
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
        return base::in_context(pid.error(), name());
    }
    pid_ = *pid;
    paused_ = false;
    return {};
}

void Member::signal_all(int number) { ::kill(-pid_, number); }

bool Member::wait_for_end(base::Duration timeout) {
    std::unique_lock lock(state_->mutex);
    return state_->changed.wait_for(lock, timeout, [&] { return !state_->alive; });
}

base::Status Member::kill() {
    disconnect();
    if (alive()) signal_all(SIGKILL);
    if (!wait_for_end(kill_timeout))
        return fail(ErrorKind::Timeout, "{}: its process {} did not end within {} after SIGKILL", name(), pid_,
                    base::format_duration(kill_timeout));
    paused_ = false;
    return {};
}

base::Status Member::pause() {
    if (!alive()) return fail(ErrorKind::Conflict, "{} does not run", name());
    signal_all(SIGSTOP);
    paused_ = true;
    return {};
}

base::Status Member::resume() {
    if (!alive()) return fail(ErrorKind::Conflict, "{} does not run", name());
    signal_all(SIGCONT);
    paused_ = false;
    return {};
}

std::string Member::exit_text() const {
    const std::lock_guard lock(state_->mutex);
    return state_->exit.text();
}

base::Status Member::give_to(const std::string& account, const std::string& directory) {
    SpawnOptions options{.argv = {"chown", "-R", account, directory}, .environment = default_environment()};
    const auto result = setup_.reaper.run(std::move(options), "", copy_timeout);
    if (!result) return base::in_context(result.error(), name());
    return {};
}

base::Status Member::copy_template(const std::string& from, const std::string& to, const std::string& account) {
    std::error_code error;
    std::filesystem::create_directories(setup_.directory, error);
    std::filesystem::remove_all(to, error);
    if (error) return fail(ErrorKind::Unavailable, "{}: {}", to, error.message());
    SpawnOptions options{.argv = {"cp", "-a", from, to}, .environment = default_environment()};
    const auto copied = setup_.reaper.run(std::move(options), "", copy_timeout);
    if (!copied) return base::in_context(copied.error(), name());
    return give_to(account, setup_.directory);
}

}  // namespace signalbox::lab
