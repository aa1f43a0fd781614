#pragma once
// A warm connection to one member of a cluster, as probes and killers need it: one implementation per engine. Who holds
// it decides when it is used (probes.hpp, killer.hpp); the link knows what to ask and what an answer means.

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/error.hpp"
#include "base/text.hpp"
#include "domain/clusters/config.hpp"
#include "domain/clusters/evidence.hpp"

namespace signalbox::probing {

using Clock = std::chrono::steady_clock;
using Answer = std::variant<clusters::Evidence, clusters::ProbeFailure>;

// Where a member is, how to log in to it, and what to ask it beyond what its engine needs. Values that are equal mean
// that a connection can stay.
struct Target {
    clusters::Engine engine = clusters::Engine::MariaDb;
    base::HostPort address;
    std::string user;
    std::string password;  // never printed
    std::string database;
    std::string tls_ca_file;  // empty: plain
    clusters::Tls tls = clusters::Tls::Off;
    std::string topology_query;  // empty: there is none
    bool replicas = false;       // also ask who receives from it
    friend bool operator==(const Target&, const Target&) = default;
};
Target target_of(const clusters::ClusterConfig& cluster, const clusters::MemberConfig& member);

// Sessions that are gone for certain; `text` says, for people, why the others are not (empty when none is left).
struct Ended {
    std::uint64_t count = 0;
    std::string text;
};

// One thread at a time, but for cancel(). Every call ends at its deadline.
class MemberLink {
  public:
    virtual ~MemberLink() = default;
    // One probe; connects first where there is no connection. A deadline that passed is TimedOut with code 0.
    virtual Answer ask(Clock::time_point until) = 0;
    // Connects where there is no connection, else shows that the one there is still works.
    virtual base::Status keep_warm(Clock::time_point until) = 0;
    // Ends sessions on the server, by its own id or, where that is 0, by the address that the server sees. One that the
    // server has no more counts as ended.
    virtual Ended end_sessions(const std::vector<clusters::ServerSession>& sessions, Clock::time_point until) = 0;
    // The connection's socket, to be told when the server ends it between calls; -1 without a connection.
    virtual int socket() const = 0;
    virtual void close() = 0;
    // Makes a running call and all later ones end soon. From any thread, for good.
    virtual void cancel() = 0;
};

using Connector = std::function<std::unique_ptr<MemberLink>(const Target&)>;
// What each engine's links are made by; built by the program that links the adapters.
using Engines = std::map<clusters::Engine, Connector>;

}  // namespace signalbox::probing
