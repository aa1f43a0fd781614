#pragma once
// A whole lab, as its process 1 holds it, and the API that it answers (docs/reference/lab-api.md for the product,
// docs/reference/lab.md for the operator's side under /v1/admin).

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "adapters/http/server.hpp"
#include "lab/certificates.hpp"
#include "lab/cluster.hpp"
#include "lab/events.hpp"
#include "lab/names.hpp"
#include "lab/network.hpp"
#include "lab/processes.hpp"
#include "lab/resolver.hpp"
#include "lab/spec.hpp"
#include "lab/sys.hpp"
#include "lab/target_group.hpp"

namespace signalbox::lab {

class Lab {
  public:
    // directory: the lab's own under /run/signalbox-lab; its "data" is a file system of this lab alone.
    Lab(LabSpec spec, std::string directory, int log_fd);
    ~Lab();

    // Builds the networks, starts hosts, clusters and the API. `progress` gets a line per step.
    base::Status bring_up(base::Duration timeout, const std::function<void(const std::string&)>& progress);

  private:
    base::Status bring_up_clusters(base::Duration timeout, const std::function<void(const std::string&)>& step);
    http::Response answer(const http::Request& request);
    base::Result<base::json::value> describe(const std::string& what, const http::Request& request);
    http::Response answer_cluster(const http::Request& request);
    http::Response answer_target_group(const http::Request& request);
    http::Response answer_processes(const http::Request& request);
    base::Result<base::json::value> administer(const http::Request& request);
    base::Result<base::json::value> administer_member(const std::string& action, const std::string& member,
                                                      const http::Request& request);
    base::json::value status() const;
    base::Result<Cluster*> cluster_of(const std::string& member);

    LabSpec spec_;
    std::string directory_;
    Log log_;
    std::string started_at_;
    std::atomic<bool> running_ = false;
    Reaper reaper_;
    Names names_;
    Events events_;
    Network network_;
    Processes processes_;
    std::map<std::string, std::unique_ptr<Engine>> engines_;
    std::vector<std::unique_ptr<Cluster>> clusters_;
    std::atomic<bool> clusters_ready_ = false;
    std::vector<std::unique_ptr<TargetGroup>> target_groups_;
    std::atomic<bool> target_groups_ready_ = false;
    std::unique_ptr<Resolver> resolver_;
    std::unique_ptr<http::Server> server_;
};

}  // namespace signalbox::lab
