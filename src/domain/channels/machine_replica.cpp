#include <algorithm>

#include "base/assert.hpp"
#include "domain/channels/machine.hpp"

namespace signalbox::channels {
namespace {

using base::Duration;
using base::MonoTime;

// Errors with which a receiving thread goes on trying, and gives up only after its retry count: it lost its source or
// did not reach it. MySQL's and MariaDB's error references; is_network_error() of both.
bool is_network_error(int code) {
    switch (code) {
        case 1040:  // too many connections
        case 1053:  // server shutdown in progress
        case 1158:  // error reading communication packets
        case 1159:  // time-out reading them
        case 1160:  // error writing them
        case 1161:  // time-out writing them
        case 1203:  // too many connections of the user
        case 2002:
        case 2003:
        case 2005:
        case 2006:
        case 2012:
        case 2013:
        case 2026:  // TLS
        case 2055:
            return true;
        default:
            return false;
    }
}

// An address and no name: digits and dots, or anything with a colon.
bool is_literal(const std::string& host) {
    return host.find(':') != std::string::npos || host.find_first_not_of("0123456789.") == std::string::npos;
}

bool is_any(const std::string& host) { return host.empty() || host == "0.0.0.0" || host == "::"; }

}  // namespace

void Machine::absorb_replica(const ReplicaStatus& status, const Observation& observation) {
    const bool known = replica_ && seen_at_ != MonoTime{};
    const bool now_running = status.io == Thread::Running;
    if (!known) {
        // What was before we came is not known: a running thread is given the time that a silent one has.
        if (now_running) note_life(MonoTime{}, observation.completed_at);
    } else if (now_running &&
               (replica_->io != Thread::Running || status.heartbeats != replica_->heartbeats ||
                status.position != replica_->position || status.log_position != replica_->log_position)) {
        note_life(seen_at_, observation.completed_at);
    } else if (now_running && verdict_.writer_has_more && !lags_since_) {
        lags_since_ = observation.completed_at;
    }
    if (!verdict_.writer_has_more) lags_since_.reset();
    if (memory_.restarting && state_ != State::Restarting && status.io != Thread::Stopped) {
        memory_.restarting = false;
        keep(true);
    }
    replica_ = status;
}

void Machine::absorb_restart(const input::RestartEnded& ended) {
    if (ended.serial != serial_ || serial_ended_ == serial_) return;
    serial_ended_ = serial_;
    restart_ended_ = now_;
    retry_at_ = now_ + backoff_;
    backoff_ = std::min<Duration>(backoff_ * 2, backoff_max);
    restart_text_ = ended.outcome == RestartOutcome::Done ? std::string() : ended.text;
    if (ended.outcome == RestartOutcome::Done && replica_) {
        // A thread that runs in the next answer has connected since.
        replica_->io = Thread::Connecting;
    }
    if (ended.outcome != RestartOutcome::Unknown) {
        memory_.restarting = false;
        keep(true);
    }
    if (ended.outcome == RestartOutcome::Failed || ended.outcome == RestartOutcome::Unknown) {
        record("channel-restart-failed",
               {{"text", ended.text}, {"outcome", ended.outcome == RestartOutcome::Unknown ? "unknown" : "failed"}});
    }
    actions_.emplace_back(action::Wake{});
}

bool Machine::stopped_by_operator() const {
    if (!seen() || !replica_ || replica_->io != Thread::Stopped || memory_.restarting) return false;
    return replica_->io_error == 0 || (!replica_->sql_running && replica_->sql_error == 0);
}

bool Machine::unfit() const {
    if (!replica_->uses_gtid) return true;
    if (config_.source.port == 0) return false;
    if (replica_->source.port != config_.source.port) return true;
    return is_literal(replica_->source.host) && is_literal(config_.source.host) && !is_any(config_.source.host) &&
           replica_->source.host != config_.source.host;
}

std::string Machine::unfit_text() const {
    if (!replica_->uses_gtid) {
        return fmt::format(
            "replica {} replicates by file and offset, which mean nothing on another writer: let it use GTIDs "
            "(MASTER_USE_GTID=slave_pos, SOURCE_AUTO_POSITION=1); it is not restarted",
            config_.address.text());
    }
    return fmt::format("replica {} reads from {}, not through endpoint '{}' at {}: it does not follow the writer",
                       config_.address.text(), replica_->source.text(), config_.endpoint, config_.source.text());
}

Duration Machine::silence_max() const {
    if (config_.kind == Kind::Slot || !replica_) return config_.heartbeat;
    return std::max<Duration>(config_.heartbeat, replica_->heartbeat_period * 2);
}

bool Machine::silent() const {
    if (seen_at_ - life_seen_at_ <= silence_max()) return false;
    if (config_.kind == Kind::Slot) return true;
    // Without heartbeats silence means something only while there is something to say.
    return replica_->heartbeat_period > Duration(0) || (lags_since_ && seen_at_ - *lags_since_ > silence_max());
}

bool Machine::position_missing() const {
    return config_.kind == Kind::Replica && seen() && facts_.routed && verdict_.is == Verdict::Is::Missing &&
           facts_.history_at >= seen_at_;
}

bool Machine::restart_due() const {
    if (!seen() || !facts_.routed || verdict_.is != Verdict::Is::Contained || now_ < retry_at_) return false;
    if (sent_at_ < facts_.ended_at || sent_at_ < restart_ended_) return false;
    switch (replica_->io) {
        case Thread::Connecting:
            return true;
        case Thread::Stopped:
            // What ended by an error of its own, once in each epoch: this writer may have what the former had not.
            return memory_.restarting || is_network_error(replica_->io_error) || fatal_epoch_ != facts_.epoch;
        case Thread::Running:
            break;
    }
    const Duration patience = first_epoch() ? silence_max() : settle;
    return life_not_before_ < facts_.ended_at && now_ - facts_.routed_at >= patience;
}

void Machine::alarm_replica() {
    const std::string where = fmt::format("replica {}", config_.address.text());
    std::optional<std::string> text;
    if (state_ == State::Stopped) {
        text = fmt::format("{}: its receiving thread was stopped by somebody and is left so; START it to go on", where);
    }
    raise("channel-stopped", text);
    text.reset();
    if (state_ == State::Unfit && replica_) text = unfit_text();
    raise("channel-unfit", text);
    text.reset();
    if (state_ == State::Diverged) {
        text = fmt::format(
            "{} has {}, which writer '{}' of epoch {} lacks: it is not restarted; rebuild it from the cluster", where,
            verdict_.missing, facts_.writer, facts_.epoch);
    }
    if (state_ != State::Waiting) raise("channel-diverged", text);
    text.reset();
    if (seen() && !replica_->sql_running && replica_->sql_error != 0) {
        text =
            fmt::format("{}: applying stopped with error {}: {}", where, replica_->sql_error, replica_->sql_error_text);
    }
    raise("channel-applying", text);
    text.reset();
    if (!restart_text_.empty()) {
        text = fmt::format("{}: its receiving thread could not be restarted: {}", where, restart_text_);
    } else if (state_ == State::Checking && seen() &&
               now_ - std::max(attentive_since_, facts_.routed_at) >=
                   failed_after + (running() ? silence_max() : Duration(0))) {
        text = fmt::format("{} does not read from writer '{}': {}", where, facts_.writer,
                           replica_->io_error == 0
                               ? std::string("its position can't be compared, or it shows no life")
                               : fmt::format("error {}: {}", replica_->io_error, replica_->io_error_text));
    }
    raise("channel-failed", text);
    text.reset();
    if (half_dead_) {
        text = fmt::format("{}: connected, and no event and no heartbeat for more than {}", where,
                           base::format_duration(silence_max()));
    }
    raise("channel-half-dead", text);
}

}  // namespace signalbox::channels
