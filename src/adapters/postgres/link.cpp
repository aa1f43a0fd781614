#include "adapters/postgres/link.hpp"

#include <algorithm>

#include "adapters/postgres/sessions.hpp"

namespace signalbox::postgres {
namespace {

using clusters::ProbeFailure;
using clusters::ProbeFailureKind;
using probing::Clock;

constexpr auto history_retry_interval = std::chrono::seconds(1);

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
    params.database = target.database;
    params.tls_ca_file = target.tls_ca_file;
    params.tls_verify_host = target.tls != clusters::Tls::VerifyCa;
    return params;
}

Link::Link(probing::Target target) : target_(std::move(target)) {}

void Link::cancel() {
    client_.cancel();
    replication_.cancel();
}

std::optional<ProbeFailure> Link::greet(Clock::time_point until) {
    if (client_.connected() && hello_) return std::nullopt;
    if (!client_.connected()) {
        hello_.reset();
        prepared_ = false;
        histories_.clear();
        reached_.reset();
        history_failure_.reset();
        if (const auto connected = client_.connect(connect_params(target_), left(until)); !connected) {
            return to_failure(connected.error());
        }
    }
    if (auto failure = check_version(client_.server_version())) return failure;
    const auto answer = client_.query(hello_text(), left(until));
    if (!answer) return to_failure(answer.error());
    auto hello = read_hello(*answer);
    if (auto* failure = std::get_if<ProbeFailure>(&hello)) return std::move(*failure);
    hello_ = std::move(std::get<Hello>(hello));
    return std::nullopt;
}

std::optional<ProbeFailure> Link::prepare(Clock::time_point until) {
    if (auto failure = greet(until)) return failure;
    if (prepared_) return std::nullopt;
    questions_ = {client_.server_version(), hello_->reads_settings, hello_->aurora, target_.replicas,
                  target_.topology_query};
    if (const auto done = client_.query_all(prepare_text(questions_), left(until)); !done) {
        return to_failure(done.error());
    }
    prepared_ = true;
    return std::nullopt;
}

std::variant<TimelineHistory, ProbeFailure> Link::fetch_history(std::uint32_t timeline, Clock::time_point until) {
    ConnectParams params = connect_params(target_);
    params.replication = true;
    const auto parse = [timeline](const ResultSet& set) -> std::variant<TimelineHistory, ProbeFailure> {
        const auto content = set.cell("content");
        if (!content) {
            return ProbeFailure{ProbeFailureKind::Incomplete, 0,
                                fmt::format("the history of timeline {} is empty", timeline)};
        }
        auto history = parse_history(*content, timeline);
        if (!history) return ProbeFailure{ProbeFailureKind::Incomplete, 0, history.error().text()};
        return std::move(*history);
    };
    base::Status asked = replication_.connect(params, left(until));
    if (asked) {
        const auto answer = replication_.query(fmt::format("TIMELINE_HISTORY {}", timeline), left(until));
        replication_.close();
        if (answer) return parse(*answer);
        asked = tl::unexpected<base::Error>(answer.error());
    }
    if (asked.error().code == 0) return to_failure(asked.error());
    const auto file =
        client_.query(fmt::format("SELECT pg_read_file('pg_wal/{:08X}.history') AS content", timeline), left(until));
    if (file) return parse(*file);
    if (!client_.connected()) return to_failure(file.error());
    return ProbeFailure{
        ProbeFailureKind::Incomplete, asked.error().code,
        fmt::format("the history of timeline {} can't be read: give user '{}' the right REPLICATION and a line for the "
                    "database 'replication' in pg_hba.conf, or GRANT EXECUTE ON FUNCTION pg_read_file(text) ({}; {})",
                    timeline, target_.user, asked.error().message, file.error().message)};
}

std::variant<TimelineHistory, ProbeFailure> Link::history_of(std::uint32_t timeline, Clock::time_point until) {
    if (timeline <= 1) return TimelineHistory{};
    const auto known = histories_.find(timeline);
    if (known != histories_.end()) return known->second;
    if (history_failure_ && Clock::now() < history_retry_) return *history_failure_;
    auto fetched = fetch_history(timeline, until);
    if (const auto* history = std::get_if<TimelineHistory>(&fetched)) {
        histories_[timeline] = *history;
        history_failure_.reset();
    } else if (const auto& failure = std::get<ProbeFailure>(fetched); failure.kind == ProbeFailureKind::Incomplete) {
        history_failure_ = failure;
        history_retry_ = Clock::now() + history_retry_interval;
    }
    return fetched;
}

probing::Answer Link::ask(Clock::time_point until) {
    if (auto failure = prepare(until)) return std::move(*failure);
    std::vector<ResultSet> answered;
    const auto results = client_.query_all(probe_text(questions_), left(until), &answered);
    if (!results) {
        ProbeFailure failure = to_failure(results.error());
        const std::size_t statements = 1U + (questions_.replicas ? 1 : 0);
        if (!target_.topology_query.empty() && failure.kind == ProbeFailureKind::ServerError &&
            answered.size() == statements) {
            failure.kind = ProbeFailureKind::Incomplete;
            failure.text = "topology: " + failure.text;
        }
        return failure;
    }
    auto read = read_answer(questions_, *results);
    if (auto* failure = std::get_if<ProbeFailure>(&read)) return std::move(*failure);
    const auto& state = std::get<Answered>(read);
    const auto point = reached(state, reached_);
    TimelineHistory history;
    if (point) {
        auto found = history_of(point->timeline, until);
        if (auto* failure = std::get_if<ProbeFailure>(&found)) return std::move(*failure);
        history = std::move(std::get<TimelineHistory>(found));
        reached_ = point;
    } else if (!hello_->aurora) {
        return ProbeFailure{ProbeFailureKind::Incomplete, 0, "it has no place in the log yet"};
    }
    return to_evidence(*hello_, state, point, history);
}

base::Status Link::keep_warm(Clock::time_point until) {
    if (!client_.connected() || !hello_) {
        if (auto failure = greet(until)) return base::fail(base::ErrorKind::Unavailable, "{}", failure->text);
        return {};
    }
    if (const auto pong = client_.query_all("", left(until)); !pong) return tl::unexpected<base::Error>(pong.error());
    return {};
}

probing::Ended Link::end_sessions(const std::vector<clusters::ServerSession>& sessions, Clock::time_point until) {
    // A warm connection that turns out to be dead is opened once more.
    for (int attempt = 0;; ++attempt) {
        const bool warm = client_.connected() && hello_.has_value();
        if (auto failure = greet(until)) return {0, std::move(failure->text)};
        auto ended = postgres::end_sessions(client_, sessions, hello_->reads_stats, until);
        if (client_.connected() || !warm || attempt > 0 || Clock::now() >= until) return ended;
    }
}

}  // namespace signalbox::postgres
