#include "lab/target_group.hpp"

#include <algorithm>
#include <fcntl.h>
#include <filesystem>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace signalbox::lab {

using base::ErrorKind;
using base::fail;
using namespace std::chrono_literals;
namespace json = base::json;

namespace {

constexpr auto answer_timeout = 2s;
constexpr auto retry_pause = 20ms;
constexpr auto restart_pause = 200ms;
constexpr auto change_timeout = 30s;
constexpr std::size_t answer_max_bytes = 4 << 20;

// HAProxy's management.txt, "show servers state": flags of the administrative state and of the check.
constexpr std::uint64_t admin_maintenance = 0x01 | 0x02 | 0x04 | 0x20 | 0x40;
constexpr std::uint64_t admin_drain = 0x08 | 0x10;
constexpr std::uint64_t check_enabled = 0x04;
constexpr std::uint64_t operational_stopped = 0;
constexpr std::uint64_t check_result_unknown = 0;

base::Result<std::vector<base::HostPort>> addresses_in(const json::value& body) {
    const auto* object = body.if_object();
    const auto* list = object ? object->if_contains("targets") : nullptr;
    if (!list || !list->is_array() || list->as_array().size() > TargetGroup::targets_per_call_max)
        return fail(ErrorKind::InvalidArgument, "expected {{\"targets\": […]}} with at most {} of them",
                    TargetGroup::targets_per_call_max);
    std::vector<base::HostPort> addresses;
    for (const auto& item : list->as_array()) {
        const auto* target = item.if_object();
        const auto* address = target ? target->if_contains("address") : nullptr;
        const auto* port = target ? target->if_contains("port") : nullptr;
        const bool good = address && address->is_string() && parse_ipv4(std::string_view(address->as_string())) &&
                          port && port->is_int64() && port->as_int64() > 0 && port->as_int64() <= 65535;
        if (!good)
            return fail(ErrorKind::InvalidArgument,
                        "expected a target like {{\"address\": \"10.0.1.5\", \"port\": 3306}}, found {}",
                        json::serialize(item));
        addresses.push_back({std::string(address->as_string()), static_cast<std::uint16_t>(port->as_int64())});
    }
    return addresses;
}

void judge(BalancerServer& server, std::uint64_t operational, std::uint64_t administrative, std::uint64_t check_result,
           std::uint64_t check_state) {
    if (administrative & admin_maintenance) {
        server.state = "unused";
        server.reason = "in maintenance";
    } else if (administrative & admin_drain) {
        server.state = "draining";
        server.reason = "gets no new connections";
    } else if (operational == operational_stopped) {
        server.state = "unhealthy";
        server.reason = "its health check fails";
    } else if ((check_state & check_enabled) && check_result == check_result_unknown) {
        server.state = "initial";
        server.reason = "its first health check is not done";
    } else {
        server.state = "healthy";
    }
}

}  // namespace

base::Result<std::vector<BalancerServer>> parse_servers_state(std::string_view text) {
    std::vector<BalancerServer> servers;
    std::map<std::string, std::size_t, std::less<>> columns;
    for (const auto line : base::split(text, '\n')) {
        const auto fields = base::split(base::trim(line), ' ');
        if (line.starts_with("# ")) {
            for (std::size_t i = 1; i < fields.size(); ++i) columns[std::string(fields[i])] = i - 1;
            continue;
        }
        if (fields.size() < 2) continue;  // the format's version, an empty line
        const auto text_at = [&](std::string_view column) {
            const auto found = columns.find(column);
            return found == columns.end() || found->second >= fields.size() ? std::string_view()
                                                                            : fields[found->second];
        };
        const auto port = base::parse_uint(text_at("srv_port"));
        const auto operational = base::parse_uint(text_at("srv_op_state"));
        const auto administrative = base::parse_uint(text_at("srv_admin_state"));
        const auto check_result = base::parse_uint(text_at("srv_check_result"));
        const auto check_state = base::parse_uint(text_at("srv_check_state"));
        if (!port || *port > 65535 || !operational || !administrative || !check_result || !check_state)
            return fail(ErrorKind::CorruptData, "expected a server's state as HAProxy 2 has it, found '{}'", line);
        BalancerServer server{std::string(text_at("srv_name")),
                              {std::string(text_at("srv_addr")), static_cast<std::uint16_t>(*port)},
                              {},
                              {}};
        judge(server, *operational, *administrative, *check_result, *check_state);
        servers.push_back(std::move(server));
    }
    return servers;
}

TargetGroup::TargetGroup(const TargetGroupSpec& spec, NodeInfo node, std::string directory, std::string socket,
                         Reaper& reaper, Log& log)
    : spec_(spec),
      node_(std::move(node)),
      directory_(std::move(directory)),
      socket_(std::move(socket)),
      reaper_(reaper),
      log_(log) {}

TargetGroup::~TargetGroup() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
}

base::Status TargetGroup::start() {
    std::error_code error;
    std::filesystem::create_directories(directory_, error);
    if (error) return fail(ErrorKind::Unavailable, "{}: {}", directory_, error.message());
    // 350 s: after so long without a byte a cloud's balancer forgets a connection.
    const std::string text = fmt::format(
        "global\n  stats socket {} mode 600 level admin\n  stats timeout 1h\n  nbthread 1\n"
        "defaults\n  mode tcp\n  timeout connect 2s\n  timeout client 350s\n  timeout server 350s\n"
        "frontend clients\n  bind 0.0.0.0:{}\n  default_backend targets\n"
        "backend targets\n  balance leastconn\n",
        socket_, spec_.port);
    SB_CHECK(write_file(directory_ + "/haproxy.cfg", text));
    const Fd out(::open((directory_ + "/haproxy.log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
    if (!out) return errno_error(directory_ + "/haproxy.log");
    auto process = std::make_shared<Process>();
    process->alive = true;
    SpawnOptions options{.argv = {"haproxy", "-db", "-f", directory_ + "/haproxy.cfg"},
                         .environment = default_environment()};
    options.directory = directory_;
    options.netns = node_.netns;
    options.out = options.error = out.get();
    const auto pid = reaper_.spawn(options, [process, this](Exit exit) {
        process->alive = false;
        log_.line("target group {}: HAProxy ended: {}", spec_.name, exit.text());
        changed_.notify_all();
    });
    if (!pid) return base::in_context(pid.error(), "target group " + spec_.name);
    const std::lock_guard lock(mutex_);
    process_ = process;
    return {};
}

base::Status TargetGroup::bring_up(base::Duration timeout) {
    SB_CHECK(start());
    const auto deadline = Clock::now() + timeout;
    while (!servers()) {
        if (!process_->alive || Clock::now() > deadline)
            return fail(ErrorKind::Unavailable, "target group {}: HAProxy does not answer; the end of its log:\n{}",
                        spec_.name, tail_of(directory_ + "/haproxy.log", 10));
        std::this_thread::sleep_for(10ms);
    }
    thread_ = std::thread([this] { loop(); });
    return {};
}

base::Result<std::string> TargetGroup::ask(const std::string& line) const {
    const Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (!fd || socket_.size() >= sizeof address.sun_path) return errno_error(socket_);
    socket_.copy(address.sun_path, socket_.size());
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return errno_error(socket_);
    const std::string text = line + "\n";
    if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) return errno_error(socket_);
    std::string answer;
    const auto deadline = Clock::now() + answer_timeout;
    while (answer.size() < answer_max_bytes) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
        pollfd waited{fd.get(), POLLIN, 0};
        if (left <= 0) return fail(ErrorKind::Timeout, "{}: no answer to '{}'", socket_, line);
        if (::poll(&waited, 1, static_cast<int>(left)) <= 0) continue;
        char buffer[16384];
        const auto count = ::read(fd.get(), buffer, sizeof buffer);
        if (count < 0) return errno_error(socket_);
        if (count == 0) return answer;
        answer.append(buffer, static_cast<std::size_t>(count));
    }
    return fail(ErrorKind::CorruptData, "{}: answers without end to '{}'", socket_, line);
}

base::Status TargetGroup::command(const std::string& line, std::string_view expected) const {
    SB_TRY(const auto answer, ask(line));
    const auto text = base::trim(answer);
    if (text.empty() || (!expected.empty() && text.starts_with(expected))) return {};
    return fail(ErrorKind::Conflict, "'{}': {}", line, text);
}

base::Result<std::vector<BalancerServer>> TargetGroup::servers() const {
    SB_TRY(const auto text, ask("show servers state targets"));
    return parse_servers_state(text);
}

bool TargetGroup::carry_out(const Pending& pending) {
    const auto target = pending.address.text();
    const auto known = servers();
    if (!known) return false;
    const auto done = [&]() -> base::Status {
        if (pending.change == Change::Add) {
            const bool there =
                std::any_of(known->begin(), known->end(), [&](const auto& server) { return server.name == target; });
            const bool checks = spec_.health_check > base::Duration::zero();
            const auto interval = std::chrono::ceil<std::chrono::milliseconds>(spec_.health_check).count();
            if (!there)
                SB_CHECK(command(fmt::format("add server targets/{0} {0}{1}", target,
                                             checks ? fmt::format(" check inter {}ms fall 2 rise 1", interval) : ""),
                                 "New server registered"));
            if (checks) SB_CHECK(command("enable health targets/" + target));
            return command(fmt::format("set server targets/{} state ready", target));
        }
        for (const auto& server : *known) {
            if (server.address != pending.address) continue;
            SB_CHECK(command("disable server targets/" + server.name));
            SB_CHECK(command("shutdown sessions server targets/" + server.name));
            SB_CHECK(command("del server targets/" + server.name, "Server deleted"));
        }
        return {};
    }();
    if (done) log_.line("target group {}: {} {}", spec_.name, target, pending.change == Change::Add ? "added" : "gone");
    if (!done && Clock::now() > pending.give_up) {
        log_.line("target group {}: {}", spec_.name, done.error().text());
        return true;
    }
    return done.has_value();
}

void TargetGroup::loop() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
        if (!process_->alive) {
            changed_.wait_for(lock, restart_pause, [this] { return stopping_; });
            if (stopping_) return;
            lock.unlock();
            if (const auto status = start(); !status) log_.line("{}", status.error().text());
            lock.lock();
        }
        auto next = Clock::now() + restart_pause;
        std::vector<Pending> due;
        for (const auto& [key, pending] : pending_) {
            if (pending.due <= Clock::now())
                due.push_back(pending);
            else
                next = std::min(next, pending.due);
        }
        for (const auto& pending : due) {
            lock.unlock();
            const bool done = carry_out(pending);
            lock.lock();
            const auto found = pending_.find(pending.address.text());
            // Somebody may have asked for something else meanwhile.
            const bool same =
                found != pending_.end() && found->second.change == pending.change && found->second.due == pending.due;
            if (same && done) pending_.erase(found);
            if (same && !done) found->second.due = Clock::now() + retry_pause;
            next = Clock::now() + retry_pause;
        }
        changed_.wait_until(lock, next);
    }
}

json::value TargetGroup::describe() const {
    const auto ms = [](base::Duration duration) { return static_cast<std::int64_t>(base::to_ms(duration)); };
    const std::lock_guard lock(mutex_);
    return {{"id", spec_.name},
            {"protocol", "tcp"},
            {"address", ipv4_text(node_.address)},
            {"port", spec_.port},
            {"subnet", node_.subnet},
            {"zone", node_.zone},
            {"state", process_->alive ? "active" : "failed"},
            {"registration_delay_ms", ms(spec_.registration_delay)},
            {"drain_ms", ms(spec_.drain)},
            {"runtime_socket", socket_},
            {"backend", "targets"}};
}

base::Result<json::array> TargetGroup::targets() const {
    SB_TRY(auto known, servers());
    {
        const std::lock_guard lock(mutex_);
        for (const auto& [key, pending] : pending_) {
            const auto found =
                std::find_if(known.begin(), known.end(),
                             [&, &wanted = pending.address](const auto& server) { return server.address == wanted; });
            if (found == known.end() && pending.change == Change::Add)
                known.push_back({key, pending.address, "initial", "is being registered"});
            else if (found != known.end() && pending.change == Change::Remove)
                *found = {found->name, pending.address, "draining", "is being deregistered"};
        }
    }
    json::array list;
    for (const auto& server : known)
        list.push_back({{"address", server.address.host},
                        {"port", server.address.port},
                        {"state", server.state},
                        {"reason", server.reason}});
    return list;
}

base::Status TargetGroup::register_targets(const json::value& body) {
    SB_TRY(const auto addresses, addresses_in(body));
    SB_TRY(const auto known, servers());
    {
        const std::lock_guard lock(mutex_);
        if (known.size() + pending_.size() + addresses.size() > targets_max)
            return fail(ErrorKind::Unavailable, "target group {} would hold more than {} targets", spec_.name,
                        targets_max);
        for (const auto& address : addresses) {
            const auto pending = pending_.find(address.text());
            const bool asked = pending != pending_.end() && pending->second.change == Change::Add;
            const bool used = std::any_of(known.begin(), known.end(), [&](const auto& server) {
                return server.address == address && server.state != "draining" && server.state != "unused";
            });
            if (asked || (used && pending == pending_.end())) continue;
            const auto due = Clock::now() + spec_.registration_delay;
            pending_[address.text()] = {address, Change::Add, due, due + change_timeout};
        }
    }
    changed_.notify_all();
    return {};
}

base::Status TargetGroup::deregister_targets(const json::value& body) {
    SB_TRY(const auto addresses, addresses_in(body));
    SB_TRY(const auto known, servers());
    for (const auto& server : known)
        if (spec_.drain > base::Duration::zero() &&
            std::find(addresses.begin(), addresses.end(), server.address) != addresses.end())
            SB_CHECK(command(fmt::format("set server targets/{} state drain", server.name)));
    {
        const std::lock_guard lock(mutex_);
        for (const auto& address : addresses) {
            const auto due = Clock::now() + spec_.drain;
            pending_[address.text()] = {address, Change::Remove, due, due + change_timeout};
        }
    }
    changed_.notify_all();
    return {};
}

}  // namespace signalbox::lab
