#include "lab/cluster.hpp"

#include <algorithm>
#include <fcntl.h>
#include <sys/random.h>

#include "base/text.hpp"

namespace signalbox::lab {

using base::ErrorKind;
using base::fail;
using namespace std::chrono_literals;

namespace {

constexpr auto busy_pause = 5ms;
constexpr auto calm_pause = 25ms;
constexpr int starts_before_clone = 2;
// A reader that takes longer than this to start, or to receive again, is no reader.
constexpr auto start_timeout = 30s;
constexpr auto receive_timeout = 15s;
constexpr auto receive_interval = 1s;

std::string random_secret() {
    unsigned char bytes[16];
    if (::getrandom(bytes, sizeof bytes, 0) != sizeof bytes) std::abort();
    return base::to_hex({reinterpret_cast<const char*>(bytes), sizeof bytes});
}

}  // namespace

Cluster::Cluster(const ClusterSpec& spec, Engine& engine, const std::string& directory, unsigned first_number,
                 Network& network, Reaper& reaper, Names& names, Events& events, Log& log)
    : spec_(spec), network_(network), names_(names), events_(events), log_(log), engine_(engine) {
    const Secrets secrets{random_secret(), random_secret()};
    for (std::size_t i = 0; i < spec.members.size(); ++i) {
        const auto& member = spec.members[i];
        const auto node = network.node(member.name);
        Runtime runtime;
        runtime.server =
            engine.make_member({member, *node, directory + "/" + member.name, secrets, reaper, log, [this] { wake(); }},
                               first_number + static_cast<unsigned>(i));
        members_.push_back(std::move(runtime));
        names_.set_address(member.name + ".lab", node->address);
    }
    seen_.resize(members_.size());
    names_.set_alias(spec.name + ".cluster.lab", spec.members.front().name + ".lab");
    names_.set_alias(spec.name + ".reader.lab", spec.members.back().name + ".lab");
}

Cluster::~Cluster() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
}

// ---- the loop

void Cluster::wake() {
    {
        const std::lock_guard lock(mutex_);
        poked_ = true;
    }
    changed_.notify_all();
}

bool Cluster::run_commands() {
    std::deque<std::packaged_task<void()>> commands;
    {
        const std::lock_guard lock(mutex_);
        commands.swap(commands_);
    }
    for (auto& command : commands) command();
    return !commands.empty();
}

bool Cluster::run_due_steps() {
    bool any = false;
    // In order: a step that is late makes the next ones wait, never overtake it.
    while (!steps_.empty() && Clock::now() >= steps_.front().due) {
        const auto act = std::move(steps_.front().act);
        steps_.erase(steps_.begin());
        act();
        any = true;
    }
    return any;
}

void Cluster::loop() {
    for (;;) {
        run_commands();
        run_planned();
        watch_writer();
        run_due_steps();
        bool busy = false;
        for (std::size_t i = 0; i < members_.size(); ++i) {
            reconcile(i);
            busy |= members_[i].phase == Phase::Starting || members_[i].phase == Phase::Rejoining;
        }
        keep_acknowledgement();
        keep_reader_name();
        publish();
        std::unique_lock lock(mutex_);
        auto until = Clock::now() + (busy ? busy_pause : calm_pause);
        if (!steps_.empty()) until = std::min(until, steps_.front().due);
        changed_.wait_until(lock, until, [this] { return stopping_ || poked_ || !commands_.empty(); });
        poked_ = false;
        if (stopping_) return;
    }
}

void Cluster::run_planned() {
    if (!planned_) return;
    const auto to = std::move(*planned_);
    planned_.reset();
    if (const auto status = begin_failover("it was asked for over the API", to, spec_.like_aurora); !status)
        log_.line("failover of {}: {}", spec_.name, status.error().text());
}

void Cluster::watch_writer() {
    if (!ready_ || writer_ == nobody || reopening_ != nobody) return;
    auto& runtime = members_[writer_];
    if (!spec_.automatic) {
        if (!runtime.server->alive()) opened_ = false;
        return;
    }
    if (!runtime.server->alive()) {
        // While a stretched failover has the writer restarted on purpose, its absence is no news.
        if (runtime.port_closed && runtime.phase != Phase::Up) return;
        (void)begin_failover(fmt::format("{} died ({})", runtime.server->name(), runtime.server->exit_text()), "",
                             spec_.like_aurora);
        return;
    }
    if (!opened_ || runtime.port_closed || runtime.health->healthy()) return;
    const bool has_heir = std::any_of(members_.begin(), members_.end(), [&](const Runtime& other) {
        return &other != &runtime && other.attached && reachable(other) && other.server->alive() &&
               !other.server->paused();
    });
    // With nobody to take over, a writer that can't be reached is still the best that there is.
    if (has_heir && !alone_)
        (void)begin_failover(fmt::format("{} does not answer", runtime.server->name()), "", spec_.like_aurora);
}

void Cluster::reconcile(std::size_t index) {
    auto& runtime = members_[index];
    if ((runtime.phase == Phase::Starting || runtime.phase == Phase::Up) && !runtime.server->alive()) notice_end(index);
    const bool may_start = index != writer_ || reopening_ == index;
    if (runtime.phase == Phase::Down && !runtime.stay_down && may_start && Clock::now() >= runtime.start_after)
        start_again(index);
    if (runtime.phase == Phase::Rejoining && runtime.rejoined.wait_for(0s) == std::future_status::ready)
        finish_rejoin(index);
    if (runtime.phase == Phase::Starting) {
        if (runtime.server->ready())
            finish_start(index);
        else if (index != writer_ && !runtime.server->paused() && Clock::now() - runtime.started > start_timeout)
            (void)runtime.server->kill();
    }
    const bool writer_is_up = writer_ != nobody && members_[writer_].phase == Phase::Up && opened_;
    if (runtime.phase == Phase::Up && index != writer_ && !runtime.attached && !runtime.claiming && writer_is_up &&
        !runtime.server->paused() && Clock::now() >= runtime.start_after) {
        if (const auto status = attach(index); !status) {
            log_.line("{}: can't join: {}", runtime.server->name(), status.error().text());
            runtime.start_after = Clock::now() + 500ms;
        }
    }
    if (runtime.attached && writer_is_up) keep_receiving(index);
}

// A reader that has a healthy writer in reach and can't receive from it holds something that the writer lacks.
void Cluster::keep_receiving(std::size_t index) {
    auto& runtime = members_[index];
    const auto now = Clock::now();
    if (now < runtime.look_again) return;
    runtime.look_again = now + receive_interval;
    const auto& writer = members_[writer_];
    const bool should = runtime.phase == Phase::Up && !runtime.server->paused() && reachable(runtime) &&
                        reachable(writer) && writer.health->healthy() && runtime.server->ready();
    if (!should || runtime.server->receiving()) runtime.received = now;
    if (now - runtime.received < receive_timeout) return;
    log_.line("{}: has received nothing for {}", runtime.server->name(), base::format_duration(receive_timeout));
    if (const auto status = clone_anew(index); !status)
        log_.line("{}: {}", runtime.server->name(), status.error().text());
}

void Cluster::notice_end(std::size_t index) {
    auto& runtime = members_[index];
    auto& server = *runtime.server;
    log_.line("{}: ended: {}", server.name(), server.exit_text());
    if (runtime.phase == Phase::Starting) ++runtime.failed_starts;
    runtime.phase = Phase::Down;
    runtime.attached = false;
    runtime.claiming = false;
    runtime.start_after = Clock::now() + runtime.failed_starts * 200ms;
    if (index == writer_)
        opened_ = false;
    else
        forget_acknowledger(index);
    if (runtime.failed_starts >= starts_before_clone && index != writer_) {
        runtime.failed_starts = 0;
        if (const auto status = clone_anew(index); !status) log_.line("{}: {}", server.name(), status.error().text());
    }
}

void Cluster::start_again(std::size_t index) {
    auto& runtime = members_[index];
    auto& server = *runtime.server;
    runtime.started = Clock::now();
    if (index != reopening_ && server.must_rejoin()) {
        const bool has_writer =
            writer_ != nobody && opened_ && members_[writer_].server->alive() && !members_[writer_].server->paused();
        runtime.start_after = Clock::now() + 50ms;
        if (!has_writer) return;
        runtime.rejoins = writer_;
        runtime.phase = Phase::Rejoining;
        // It takes a while, and the writer may die meanwhile.
        runtime.rejoined =
            std::async(std::launch::async, [&server, &writer = *members_[writer_].server, source = writers_source()] {
                return server.rejoin(writer, source);
            });
        return;
    }
    const auto status = server.start(reopening_ == index ? Member::Recovery::AsWriter : Member::Recovery::AsReader);
    if (status)
        runtime.phase = Phase::Starting;
    else
        runtime.start_after = Clock::now() + 1s;
}

void Cluster::finish_rejoin(std::size_t index) {
    auto& runtime = members_[index];
    auto status = runtime.rejoined.get();
    runtime.phase = Phase::Down;
    if (status && runtime.rejoins != writer_)
        status = fail(ErrorKind::Conflict, "{} is the writer no more", members_[runtime.rejoins].server->name());
    if (status && runtime.stay_down) return;
    if (status) {
        // From its start on it receives, and acknowledges.
        acknowledgers_.insert(index);
        runtime.started = Clock::now();
        status = runtime.server->start(Member::Recovery::AsReader);
        if (status) runtime.phase = Phase::Starting;
    }
    if (status) return;
    log_.line("{}: can't follow: {}", runtime.server->name(), status.error().text());
    runtime.start_after = Clock::now() + 200ms;
}

void Cluster::finish_start(std::size_t index) {
    auto& runtime = members_[index];
    runtime.phase = Phase::Up;
    runtime.failed_starts = 0;
    runtime.health->reset();
    log_.line("{}: up", runtime.server->name());
    if (index == reopening_) reopen_writer();
}

// The old writer is up again and holds all that was ever acknowledged: it goes on as the writer.
void Cluster::reopen_writer() {
    auto& server = *members_[writer_].server;
    auto position = server.take_over();
    if (!position) {
        // Ended, so that it is started and asked again.
        log_.line("{}", position.error().text());
        (void)server.kill();
        return;
    }
    floor_ = std::move(*position);
    // Readers that run may find their way back to it by themselves, and acknowledge.
    acknowledgers_.clear();
    for (std::size_t i = 0; i < members_.size(); ++i)
        if (i != writer_ && members_[i].server->alive()) acknowledgers_.insert(i);
    reopening_ = nobody;
    if (const auto status = open(writer_); !status) {
        log_.line("{}", status.error().text());
        reopening_ = writer_;
        (void)server.kill();
        return;
    }
    if (!names_held_) move_names();
    complete(fmt::format("{} is the writer again", server.name()));
}

void Cluster::keep_reader_name() {
    if (!ready_ || names_held_ || writer_ == nobody) return;
    const auto good = [&](std::size_t i) {
        return i != nobody && i != writer_ && members_[i].attached && members_[i].server->alive() &&
               reachable(members_[i]) && members_[i].health->healthy();
    };
    if (good(reader_name_)) return;
    for (std::size_t i = members_.size(); i-- > 0;) {
        if (!good(i)) continue;
        reader_name_ = i;
        names_.set_alias(spec_.name + ".reader.lab", members_[i].server->name() + ".lab");
        log_.line("{}.reader.lab is {}", spec_.name, members_[i].server->name());
        return;
    }
}

void Cluster::publish() {
    std::vector<Seen> seen;
    for (std::size_t i = 0; i < members_.size(); ++i) {
        const auto& runtime = members_[i];
        Seen entry;
        entry.role = i == writer_ ? "writer" : runtime.attached ? "reader" : "none";
        entry.quiet = !runtime.server->alive() || runtime.server->paused() || runtime.phase != Phase::Up;
        entry.state = runtime.phase == Phase::Down        ? (runtime.stay_down ? "stopped" : "down")
                      : runtime.phase == Phase::Rejoining ? "rejoining"
                      : runtime.phase == Phase::Starting  ? "starting"
                      : runtime.server->paused()          ? "paused"
                      : runtime.blackholed                ? "blackholed"
                      : !reachable(runtime)               ? "isolated"
                      : runtime.port_closed               ? "restarting"
                      : runtime.claiming                  ? "claiming"
                      : i == writer_                      ? (opened_ ? "available" : "opening")
                      : runtime.attached                  ? "available"
                                                          : "joining";
        seen.push_back(std::move(entry));
    }
    const std::lock_guard lock(mutex_);
    seen_ = std::move(seen);
}

// ---- members

base::Result<std::size_t> Cluster::index_of(const std::string& member) const {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < spec_.members.size(); ++i) {
        if (spec_.members[i].name == member) return i;
        names.push_back(spec_.members[i].name);
    }
    return fail(ErrorKind::NotFound, "there is no member '{}'; there are {}", member, base::join(names, ", "));
}

bool Cluster::has_member(const std::string& name) const { return find_named(spec_.members, name) != nullptr; }

bool Cluster::reachable(const Runtime& runtime) const {
    return !runtime.blackholed && network_.zone_is_up(runtime.server->node().zone);
}

void Cluster::on_each(const std::vector<std::size_t>& indices, const std::function<void(std::size_t)>& act) {
    std::vector<std::thread> threads;
    for (const auto index : indices) threads.emplace_back([&act, index] { act(index); });
    for (auto& thread : threads) thread.join();
}

Source Cluster::writers_source() const { return {members_[writer_].server->address(), engine_.port()}; }

base::Status Cluster::attach(std::size_t index) {
    auto& runtime = members_[index];
    auto& server = *runtime.server;
    SB_TRY(const bool known, server.may_follow(*members_[writer_].server));
    if (!known) return clone_anew(index);
    acknowledgers_.insert(index);
    SB_CHECK(server.follow(writers_source()));
    runtime.attached = true;
    runtime.received = Clock::now();
    log_.line("{}: follows {}", server.name(), members_[writer_].server->name());
    return {};
}

// The others stay as they are.
base::Status Cluster::clone_anew(std::size_t index) {
    auto& runtime = members_[index];
    log_.line("{}: is cloned anew", runtime.server->name());
    SB_CHECK(runtime.server->kill());
    forget_acknowledger(index);
    runtime.attached = false;
    runtime.phase = Phase::Down;
    runtime.start_after = Clock::now();
    return runtime.server->start_afresh();
}

void Cluster::set_port_closed(std::size_t index, bool closed) {
    auto& runtime = members_[index];
    if (runtime.port_closed == closed) return;
    runtime.port_closed = closed;
    runtime.health->reset();
    if (const auto status = network_.set_port_closed(runtime.server->name(), engine_.port(), closed); !status)
        log_.line("{}", status.error().text());
    log_.line("{}: {}", runtime.server->name(), closed ? "closed to clients" : "open to clients");
}

}  // namespace signalbox::lab
