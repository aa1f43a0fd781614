#include "adapters/spark/node.hpp"

#include <arpa/inet.h>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <netinet/in.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "adapters/process/supervisor_files.hpp"
#include "adapters/spark/node_children.hpp"
#include "adapters/spark/node_spec.hpp"
#include "base/text.hpp"

namespace signalbox::spark {
namespace {

using namespace std::chrono_literals;
using base::ErrorKind;
using base::fail;
using Clock = std::chrono::steady_clock;
namespace fs = std::filesystem;

constexpr base::Duration interval = 200ms;
constexpr base::Duration python_timeout = 20s;
constexpr base::Duration master_timeout = 60s;
constexpr base::Duration cluster_timeout = 120s;
// Less than the supervisor's own patience after a stop.
constexpr base::Duration end_grace = 2s;
constexpr int master_tries = 3;
constexpr std::size_t secret_bytes = 32;
constexpr const char* find_pyspark =
    "import importlib.util as u; s = u.find_spec('pyspark'); print(s.submodule_search_locations[0] if s else '')";

void say(const std::string& text) { std::fprintf(stderr, "signalbox spark-node: %s\n", text.c_str()); }

struct Node {
    std::string run_directory;
    NodeSpec spec;
    Role role;
    std::string home;

    std::string file(const char* name) const { return fmt::format("{}/rank-{}.{}", run_directory, role.rank, name); }
};

base::Result<std::string> find_home(const jobs::SparkApplication& application) {
    std::string home = application.home;
    if (home.empty()) {
        Children asking({});
        // -I: nothing from the folder that the job runs in.
        SB_TRY(const std::string output,
               asking.output_of({application.python, "-I", "-c", find_pyspark}, python_timeout));
        home = base::trim(output);
        if (home.empty())
            return fail(ErrorKind::NotFound, "{} has no pyspark: install it there, or name Spark's 'home'",
                        application.python);
    }
    std::error_code ignored;
    if (!fs::exists(home + "/bin/spark-submit", ignored))
        return fail(ErrorKind::NotFound, "{} is no Spark distribution: there is no bin/spark-submit in it", home);
    return home;
}

sockaddr_in socket_address(const std::string& address, std::uint16_t port) {
    sockaddr_in out{};
    out.sin_family = AF_INET;
    out.sin_port = htons(port);
    ::inet_pton(AF_INET, address.c_str(), &out.sin_addr);
    return out;
}

// A port that nobody uses now; several runs may share an address on a plain host.
base::Result<std::uint16_t> free_port(const std::string& address) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in place = socket_address(address, 0);
    socklen_t size = sizeof place;
    const bool good = fd >= 0 && ::bind(fd, reinterpret_cast<sockaddr*>(&place), sizeof place) == 0 &&
                      ::getsockname(fd, reinterpret_cast<sockaddr*>(&place), &size) == 0;
    if (fd >= 0) ::close(fd);
    if (!good) return fail(ErrorKind::Unavailable, "cannot listen on the node's address {}", address);
    return ntohs(place.sin_port);
}

bool listens(const std::string& address, std::uint16_t port) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    const sockaddr_in place = socket_address(address, port);
    const bool connected = ::connect(fd, reinterpret_cast<const sockaddr*>(&place), sizeof place) == 0;
    ::close(fd);
    return connected;
}

base::Result<std::string> make_secret() {
    std::string bytes(secret_bytes, '\0');
    if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
        return fail(ErrorKind::Unavailable, "there are no random bytes");
    return base::to_hex(bytes);
}

base::Result<std::string> write_properties(const Node& node, const char* name, const Properties& properties) {
    std::string path = node.file(name);
    SB_CHECK(process::write_whole(path, properties_text(properties), 0600));
    return path;
}

// The master, once it listens; nothing if a stop came first.
base::Result<std::optional<pid_t>> start_master(const Node& node, Children& children, Cluster& cluster) {
    SB_TRY(const std::string properties, write_properties(node, "spark-daemon.conf", daemon_properties(cluster)));
    for (int tries = 0; tries < master_tries; ++tries) {
        SB_TRY(const std::uint16_t port, free_port(node.role.address));
        SB_TRY(const pid_t master, children.start(master_command(node.role, port, node.home, properties)));
        const auto deadline = Clock::now() + master_timeout;
        while (!children.ended(master) && !children.stopping() && Clock::now() < deadline) {
            if (listens(node.role.address, port)) {
                cluster.master = fmt::format("spark://{}:{}", node.role.address, port);
                return std::optional(master);
            }
            children.wait(50ms);
        }
        children.end(master, end_grace);
        if (children.stopping()) return std::optional<pid_t>();
    }
    return fail(ErrorKind::Unavailable, "the Spark master did not start; its words are above");
}

base::Result<int> run_driver(const Node& node, Children& children) {
    Cluster cluster;
    std::optional<pid_t> master;
    if (node.role.size > 1) {
        SB_TRY(cluster.secret, make_secret());
        SB_TRY(master, start_master(node, children, cluster));
        if (!master) return 128 + SIGTERM;
        SB_CHECK(write_cluster(node.run_directory, node.spec.driver_token, cluster));
    }
    const auto& application = node.spec.application;
    SB_TRY(const std::string properties,
           write_properties(node, "spark-driver.conf", driver_properties(application, node.role, cluster)));
    SB_TRY(const pid_t driver, children.start(driver_command(application, node.home, properties)));
    while (!children.ended(driver)) {
        children.wait(interval);
        if (!master || !children.ended(*master) || children.ended(driver) || children.stopping()) continue;
        say(fmt::format("the master ended with exit code {} under the driver", *children.ended(*master)));
        children.end(driver, end_grace);
    }
    if (master) children.end(*master, end_grace);
    return *children.ended(driver);
}

// Whether the node of the driver lives. What can't be read tells nothing.
bool driver_lives(const Node& node) {
    const auto driver = process::read_node(node.run_directory, 0, node.spec.driver_token);
    return !driver || (*driver && (*driver)->fate == process::NodeFate::Running);
}

base::Result<int> run_worker(const Node& node, Children& children) {
    const auto deadline = Clock::now() + cluster_timeout;
    std::optional<Cluster> cluster;
    for (;;) {
        SB_TRY(cluster, read_cluster(node.run_directory, node.spec.driver_token));
        if (cluster) break;
        if (children.stopping() || !driver_lives(node)) return 0;
        if (Clock::now() >= deadline)
            return fail(ErrorKind::Unavailable, "the driver's node has had no Spark master for {}",
                        base::format_duration(cluster_timeout));
        children.wait(interval);
    }
    SB_TRY(const std::string properties, write_properties(node, "spark-daemon.conf", daemon_properties(*cluster)));
    SB_TRY(const pid_t worker, children.start(worker_command(node.spec.application, node.role, *cluster, node.home,
                                                             properties, node.file("spark-work"))));
    while (!children.ended(worker)) {
        children.wait(interval);
        if (children.ended(worker) || driver_lives(node)) continue;
        children.end(worker, end_grace);
        return 0;
    }
    return *children.ended(worker);
}

}  // namespace

base::Result<int> run_node(const std::string& run_directory, int rank, const std::string& address) {
    Node node{run_directory, {}, {rank, 1, address}, {}};
    SB_TRY(node.spec, read_spec(run_directory, rank));
    node.role.size = node.spec.size;
    in_addr parsed{};
    if (::inet_pton(AF_INET, address.c_str(), &parsed) != 1)
        return fail(ErrorKind::InvalidConfig, "the node has no IPv4 address (found '{}')", address);
    std::error_code ignored;
    const std::string& application = node.spec.application.application;
    if (!fs::exists(application, ignored)) return fail(ErrorKind::NotFound, "there is no application {}", application);
    SB_TRY(node.home, find_home(node.spec.application));
    const std::string scratch = node.file("spark-scratch");
    Children children(environment(node.spec.application, node.role, node.home, scratch));
    auto code = rank == 0 ? run_driver(node, children) : run_worker(node, children);
    for (const char* name : {"spark-driver.conf", "spark-daemon.conf"}) fs::remove(node.file(name), ignored);
    if (rank == 0) fs::remove(cluster_path(run_directory), ignored);
    fs::remove_all(scratch, ignored);
    return code;
}

}  // namespace signalbox::spark
