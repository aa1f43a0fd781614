#include "adapters/mysql/link.hpp"

#include <algorithm>

#include "adapters/mysql/sessions.hpp"

namespace signalbox::mysql {
namespace {

using clusters::Engine;
using clusters::ProbeFailure;
using clusters::ProbeFailureKind;
using probing::Clock;

base::Duration left(Clock::time_point until) {
    return std::max(base::Duration(0), base::Duration(until - Clock::now()));
}

}  // namespace

ConnectParams connect_params(const probing::Target& target) {
    ConnectParams params;
    params.host = target.address.host;
    params.port = target.address.port;
    params.user = target.user;
    params.password = target.password;
    params.tls_ca_file = target.tls_ca_file;
    params.tls_verify_host = target.tls != clusters::Tls::VerifyCa;
    return params;
}

Link::Link(probing::Target target) : target_(std::move(target)) {}

base::Status Link::connect(Clock::time_point until) {
    if (client_.connected()) return {};
    text_.clear();
    sees_all_.reset();
    return client_.connect(connect_params(target_), left(until));
}

std::optional<ProbeFailure> Link::prepare(Clock::time_point until) {
    if (const auto connected = connect(until); !connected) return to_failure(connected.error());
    if (!text_.empty()) return std::nullopt;
    const auto hello = client_.query(hello_text(), left(until));
    if (!hello) return to_failure(hello.error());
    if (auto failure = check_hello(*hello, target_.engine)) return failure;
    Questions questions;
    questions.engine = target_.engine;
    questions.topology_query = target_.topology_query;
    if (target_.engine == Engine::MariaDb) {
        const auto uid = client_.query("SHOW GLOBAL VARIABLES LIKE 'server_uid'", left(until));
        if (!uid) return to_failure(uid.error());
        questions.server_uid = !uid->rows.empty();
    }
    if (!target_.topology_query.empty()) {
        // Stamps of rows are compared, so they have to be in one time zone.
        if (const auto set = client_.query("SET time_zone = '+00:00'", left(until)); !set) {
            return to_failure(set.error());
        }
    }
    if (target_.replicas) {
        // Discovery must not cost belief: without the right to ask it finds nobody.
        Questions tried = questions;
        tried.replicas = true;
        const auto answered = client_.query_all(probe_text(tried), left(until));
        if (!answered && !client_.connected()) return to_failure(answered.error());
        questions.replicas = answered.has_value();
    }
    text_ = probe_text(questions);
    questions_ = std::move(questions);
    return std::nullopt;
}

probing::Answer Link::ask(Clock::time_point until) {
    if (auto failure = prepare(until)) return std::move(*failure);
    std::vector<ResultSet> answered;
    const auto results = client_.query_all(text_, left(until), &answered);
    if (results) return read_evidence(questions_, *results);
    ProbeFailure failure = to_failure(results.error());
    const std::size_t statements = 3U + (questions_.replicas ? 2 : 0);
    if (!target_.topology_query.empty() && failure.kind == ProbeFailureKind::ServerError &&
        answered.size() == statements) {
        failure.kind = ProbeFailureKind::Incomplete;
        failure.text = "topology: " + failure.text;
    }
    return failure;
}

base::Status Link::keep_warm(Clock::time_point until) {
    if (!client_.connected()) {
        SB_CHECK(connect(until));
        SB_TRY(sees_all_, has_process_privilege(client_, left(until)));
        return {};
    }
    if (const auto pong = client_.query("DO 0", left(until)); !pong) return tl::unexpected<base::Error>(pong.error());
    return {};
}

probing::Ended Link::end_sessions(const std::vector<clusters::ServerSession>& sessions, Clock::time_point until) {
    // A warm connection that turns out to be dead is opened once more.
    for (int attempt = 0;; ++attempt) {
        const bool warm = client_.connected() && sees_all_.has_value();
        if (!warm) {
            if (const auto connected = connect(until); !connected) return {0, connected.error().text()};
            const auto sees_all = has_process_privilege(client_, left(until));
            if (!sees_all) return {0, sees_all.error().text()};
            sees_all_ = *sees_all;
        }
        auto ended = mysql::end_sessions(client_, sessions, *sees_all_, until);
        if (client_.connected() || !warm || attempt > 0 || Clock::now() >= until) return ended;
    }
}

}  // namespace signalbox::mysql
