#pragma once
// One real MariaDB server of a cluster: its process, its data directory, and the controller's way into it, which is a
// unix socket, so that no fault of the network blinds the controller.

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "adapters/mysql/client.hpp"
#include "lab/gtid.hpp"
#include "lab/log.hpp"
#include "lab/network.hpp"
#include "lab/spec.hpp"
#include "lab/sys.hpp"

namespace signalbox::lab {

// Accounts of the controller inside every member; the passwords are made anew for each lab.
inline constexpr std::string_view replication_user = "lab_replication";
inline constexpr std::string_view health_user = "lab_health";
inline constexpr std::uint16_t mariadb_port = 3306;

struct ServerFiles {
    std::string directory;  // holds one directory per member
    std::string template_directory;
    std::string account;  // the user that the servers run as
};

// Makes the data directory that every member starts from.
base::Status make_template(Reaper& reaper, const ServerFiles& files);
// "mysql" if there is such a user, else "nobody".
std::string server_account();

// Watches a member over the network, as its clients see it. Its own lateness never counts as the member's.
class Health {
  public:
    // Checks every third of `detect`; three misses in a row are unhealthy.
    Health(std::string address, std::string password, base::Duration detect);
    ~Health();
    bool healthy() const { return misses_ < misses_max; }
    // Forgets what was seen: after a change that explains it.
    void reset() { misses_ = 0; }

    static constexpr int misses_max = 3;

  private:
    void loop();
    std::string address_;
    std::string password_;
    base::Duration interval_;
    std::atomic<int> misses_ = 0;
    std::atomic<bool> stopping_ = false;
    std::thread thread_;
};

// Used by its cluster's thread alone, except for alive().
class Member {
  public:
    enum class Recovery { AsWriter, AsReader };

    // changed: called from another thread when the process ends.
    Member(const HostSpec& spec, unsigned server_id, ServerFiles files, NodeInfo node, Reaper& reaper, Log& log,
           std::function<void()> changed);

    // A fresh data directory; what was in it is lost.
    base::Status make_data();
    // Starts the server, read-only and not replicating. AsReader: transactions that the binary log holds but the engine
    // had not committed are rolled back (--init-rpl-role=SLAVE), since no replica acknowledged them; AsWriter commits
    // them.
    base::Status start(Recovery recovery);
    // Whether the server takes the controller's connection now; does not wait.
    bool ready();
    // SIGKILL, and waits until the process is gone.
    base::Status kill();
    base::Status pause();
    base::Status resume();
    bool alive() const { return state_->alive; }
    bool paused() const { return paused_; }
    std::string exit_text() const;

    base::Result<mysql::ResultSet> query(const std::string& sql, base::Duration timeout = std::chrono::seconds(5));
    base::Status execute(const std::string& statements, base::Duration timeout = std::chrono::seconds(5));
    base::Result<std::string> value(const std::string& expression);

    const std::string& name() const { return spec_.name; }
    std::string address() const { return ipv4_text(node_.address); }
    const NodeInfo& node() const { return node_; }
    unsigned server_id() const { return server_id_; }
    std::string error_log() const { return directory_ + "/error.log"; }
    std::string socket() const { return directory_ + "/server.sock"; }

  private:
    struct State {
        std::atomic<bool> alive = false;
        std::mutex mutex;
        std::condition_variable changed;
        Exit exit;
    };
    std::vector<std::string> command(Recovery recovery) const;

    HostSpec spec_;
    unsigned server_id_;
    ServerFiles files_;
    NodeInfo node_;
    Reaper& reaper_;
    Log& log_;
    std::function<void()> changed_;
    std::string directory_;
    std::shared_ptr<State> state_ = std::make_shared<State>();
    pid_t pid_ = -1;
    bool paused_ = false;
    mysql::Client client_;
};

}  // namespace signalbox::lab
