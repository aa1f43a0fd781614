#pragma once
// What a probe asks a server of the MySQL family, and how the answers become evidence. Two dialects: MariaDB's and
// MySQL's differ in names, in positions and in what they keep.

#include <string>
#include <variant>
#include <vector>

#include "adapters/mysql/client.hpp"
#include "adapters/probing/member_link.hpp"
#include "domain/clusters/evidence.hpp"

namespace signalbox::mysql {

// The first question on a new connection: who is there?
std::string hello_text();
// Nothing, if the server is of this engine (MariaDb or MySql) and new enough (MariaDB 10.5, MySQL 8.0.22); else a
// failure that says what it is and what is expected.
std::optional<clusters::ProbeFailure> check_hello(const ResultSet& answer, clusters::Engine expected);

// What one round trip asks.
struct Questions {
    clusters::Engine engine = clusters::Engine::MariaDb;
    bool server_uid = false;     // the server has @@server_uid (MariaDB since 10.11.4)
    bool replicas = false;       // also who receives from it
    std::string topology_query;  // empty: none
};
std::string probe_text(const Questions& questions);
// Strict: a row, column or value that should be there and is not, or a form that we do not know, makes it Incomplete.
probing::Answer read_evidence(const Questions& questions, const std::vector<ResultSet>& results);

// The failure that an error of Client stands for.
clusters::ProbeFailure to_failure(const base::Error& error);

}  // namespace signalbox::mysql
