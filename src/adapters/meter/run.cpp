#include "adapters/meter/run.hpp"

#include <algorithm>
#include <map>
#include <sys/resource.h>

namespace signalbox::meter {
namespace {

// A path counts as good while its last good operation is this fresh (and fresher than its last bad one).
Duration freshness(const MeterOptions& options) {
    return std::max<Duration>(10 * options.interval, std::chrono::milliseconds(500));
}

bool good_now(std::int64_t ok_at, std::int64_t bad_at, MonoTime now, Duration fresh) {
    return ok_at > bad_at && ok_at != 0 && now.time_since_epoch().count() - ok_at < fresh.count();
}

}  // namespace

MeterRun::MeterRun(MeterOptions options, std::vector<PathTarget> paths)
    : options_(std::move(options)), paths_(std::move(paths)), states_(paths_.size()) {}

MeterRun::~MeterRun() {
    run_.stop = true;
    for (std::thread& thread : threads_) {
        if (thread.joinable()) thread.join();
    }
}

base::Status MeterRun::start(const std::string& events_source) {
    if (!events_source.empty()) {
        SB_TRY(events_, EventListener::start(events_source));
    }
    // The workers inherit it: a meter that waits for the processor measures itself. Not being allowed to is no error.
    const int priority_before = ::getpriority(PRIO_PROCESS, 0);
    static_cast<void>(::setpriority(PRIO_PROCESS, 0, -15));
    for (std::size_t path = 0; path < paths_.size(); ++path) {
        const auto add = [&](Kind kind) {
            probes_.push_back(std::make_unique<Probe>(options_, paths_, states_, run_, path, kind));
        };
        for (unsigned i = 0; paths_[path].info.writes && i < options_.writers; ++i) add(Kind::Write);
        add(Kind::Read);
        add(Kind::Role);
        if (paths_[path].info.named) add(Kind::Dns);
    }
    started_at_ = mono_now();
    started_at_wall_ = std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
    // Spread over the interval, so that the workers don't all want the processor at once.
    const MonoTime first = started_at_ + std::chrono::milliseconds(20);
    for (std::size_t i = 0; i < probes_.size(); ++i) {
        const MonoTime mine =
            first + options_.interval * static_cast<std::int64_t>(i) / static_cast<std::int64_t>(probes_.size());
        threads_.emplace_back([probe = probes_[i].get(), mine] { probe->run(mine); });
    }
    static_cast<void>(::setpriority(PRIO_PROCESS, 0, priority_before));
    return {};
}

bool MeterRun::path_good(std::size_t path, MonoTime now) const {
    const PathState& state = states_[path];
    const Duration fresh = freshness(options_);
    const bool reads = good_now(state.read_ok_at, state.read_bad_at, now, fresh);
    const PathInfo& info = paths_[path].info;
    if (!info.writes || info.member) return reads;
    return reads && good_now(state.write_ok_at, state.write_bad_at, now, fresh);
}

RunStatus MeterRun::status() {
    RunStatus status;
    const MonoTime now = mono_now();
    status.elapsed = now - started_at_;
    status.samples_full = run_.samples >= options_.samples_max;
    std::map<std::string, bool> group_writes;     // a member of it takes writes now
    std::map<std::string, bool> group_has_taken;  // ever
    bool all_good = true;
    std::uint64_t broken = 0;
    for (std::size_t i = 0; i < paths_.size(); ++i) {
        const PathState& state = states_[i];
        const PathInfo& info = paths_[i].info;
        const bool good = path_good(i, now);
        all_good = all_good && good;
        status.paths.push_back({state.writes_ok, state.writes_failed, state.writes_unknown, good});
        const bool taking = !info.writes || good_now(state.write_ok_at, state.write_bad_at, now, freshness(options_));
        group_writes[info.group] = group_writes[info.group] || taking;
        group_has_taken[info.group] =
            group_has_taken[info.group] || (info.writes ? state.writes_ok > 0 : state.read_ok_at != 0);
        broken += state.writes_broken;
    }
    for (const auto& [group, taking] : group_writes) all_good = all_good && taking;
    const bool all_taken =
        std::all_of(group_has_taken.begin(), group_has_taken.end(), [](const auto& g) { return g.second; });
    if (!steady_ && all_taken && all_good) {
        steady_ = true;
        broken_before_ = broken;
    }
    outage_seen_ = steady_ && broken > broken_before_;
    if (all_good && !all_good_) good_since_ = now;
    all_good_ = all_good;
    status.steady = steady_;
    status.outage_seen = outage_seen_;
    status.good_for = all_good ? now - good_since_ : Duration::zero();
    return status;
}

Recording MeterRun::stop() {
    run_.stop = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    Recording recording;
    recording.started_at = started_at_;
    recording.started_at_wall = started_at_wall_;
    recording.ended_at = mono_now();
    recording.interval = options_.interval;
    for (const PathTarget& path : paths_) recording.paths.push_back(path.info);
    std::map<std::string, std::uint32_t> index{{std::string(), 0}};
    for (const auto& probe : probes_) {
        std::vector<std::uint32_t> to_shared;
        for (const std::string& text : probe->texts()) {
            const auto [at, is_new] = index.try_emplace(text, static_cast<std::uint32_t>(recording.texts.size()));
            if (is_new) recording.texts.push_back(text);
            to_shared.push_back(at->second);
        }
        for (Sample sample : probe->samples()) {
            sample.server = to_shared[sample.server];
            sample.text = to_shared[sample.text];
            recording.samples.push_back(sample);
        }
        probe->samples() = {};
        recording.seen_rows.insert(recording.seen_rows.end(), probe->seen_rows().begin(), probe->seen_rows().end());
        recording.ticks_skipped += probe->ticks_skipped;
        recording.ticks_late += probe->ticks_late;
        recording.lag_max = std::max(recording.lag_max, probe->lag_max);
    }
    std::sort(recording.seen_rows.begin(), recording.seen_rows.end());
    recording.seen_rows.erase(std::unique(recording.seen_rows.begin(), recording.seen_rows.end()),
                              recording.seen_rows.end());
    if (events_) recording.events = events_->stop();
    return recording;
}

}  // namespace signalbox::meter
